"""Pages of a node's log, and requests for them, as messages."""

from fedstate.exchange.messages import LogRequest as LogRequestProto
from fedstate.flower.log_pages import LogPage, LogRequest
from fedstate.store.logged_store import Held
from fedstate.store.step_log import Chain
from fedstate.witness.receipts import Receipt

CHAIN = Chain(2**64 - 1, True, 9, 3, b"anchor", b"head")


def test_a_request_is_read() -> None:
    proto = LogRequestProto(request_id="q", run_ids=[1, 2**64 - 1], after_sequence=9, held=True)
    assert LogRequest.from_proto(proto) == LogRequest("q", (1, 2**64 - 1), 9, held=True)


def test_everything_of_a_page_is_in_its_message() -> None:
    held = Held(CHAIN, True, 2**63, 7, b"digest", "problem")
    page = LogPage([Receipt(b"row", b"signature")], "q", [held], True, "p", "5", b"o", 4)
    proto = page.to_proto()
    assert [(each.record, each.signature) for each in proto.receipts] == [(b"row", b"signature")]
    assert (proto.request_id, proto.last, proto.problem) == ("q", True, "p")
    assert (proto.store_id, proto.opening, proto.generation) == ("5", b"o", 4)
    (run,) = proto.runs
    assert (run.run_id, run.complete, run.length, run.pruned) == (2**64 - 1, True, 9, 3)
    assert (run.anchor, run.head) == (b"anchor", b"head")
    assert (run.present, run.series_id, run.held_by) == (True, 2**63, 7)
    assert (run.held, run.problem) == (b"digest", "problem")
