"""A disk that is full: the error leaves all the same, and its row and receipt follow."""

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Error
from tests.unit.superlink_in_process import answers
from tests.unit.supernode.stepping import Node
from tests.unit.supernode.test_actions_receipts import KEYS, Sent, rows

from fedstate.flower.errors import ErrorCode
from fedstate.store.errors import StoreFullError
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from fedstate.supernode.late_rows import LateRows
from fedstate.witness.receipts import is_signed_by

FILLER = 99


@pytest.fixture
def sent(stepping_node: Node, monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(stepping_node, monkeypatch)


def fill(store: NodeStore, run_id: int) -> None:
    """Let SQLite find no room for anything, as on a full disk."""
    store._db.execute("PRAGMA max_page_count = 1")  # it is raised to what there is
    until_full(lambda name: store.receive(name, run_id, Value(b"filler" * 50)))
    until_full(lambda name: store.record_failure(name, Failure(FILLER, "f" * 300, Attempt())))
    until_full(lambda name: store.record_failure(name, Failure(FILLER, "f", Attempt())))


def until_full(write: Callable[[str], object]) -> None:
    for number in range(1000):
        try:
            write(f"filler {number}")
        except StoreFullError:
            return
    pytest.fail("It is never full.")


def make_room(store: NodeStore) -> None:
    store._db.execute(f"PRAGMA max_page_count = {2**31}")


def test_a_message_that_is_refused_for_want_of_room_gets_its_row_and_receipt(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    node = stepping_node
    node.pull_new(run_id)  # the run is known then
    node.train(node.take_task(run_id))
    node.wait_for_end()
    node.steps.late_rows.flush()
    sent.receipts.clear()
    fill(node.store, run_id)
    message_id = node.pull_new(run_id)
    assert sent.receipts == [None], "the error left at once"
    node.steps.late_rows.flush()
    assert sent.receipts == [None], "there is no room yet"
    make_room(node.store)
    node.steps.late_rows.flush()
    row = rows(node, run_id)[-1]
    assert row.record.message_id == message_id
    assert (row.record.outcome, row.record.handed_out) == ("failed", b"")
    assert "full" in row.record.reason
    assert row in sent.receipts
    assert is_signed_by(row, KEYS[1])
    calls = len(sent.calls)
    node.steps.late_rows.flush()
    assert len(sent.calls) == calls, "once is enough"


def test_rows_that_were_written_and_not_sent_are_sent_by_the_next_supernode(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    node = stepping_node
    failure = Failure(run_id, "The disk was full.", Attempt(1))
    node.store.record_failure("m1", failure)
    node.pull_new(run_id)  # and is under way: its receipt goes with its reply
    node.steps.late_rows.flush()
    (receipt,) = sent.receipts
    assert receipt is not None
    assert receipt.record.message_id == "m1"
    assert rows(node, run_id) == [receipt]


def test_a_superlink_that_is_away_gets_them_later(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    node = stepping_node
    node.store.record_failure("m1", Failure(run_id, "The disk was full.", Attempt(1)))
    node.connection.plan("log", *[answers(500)] * 20)
    for _ in range(40):
        node.steps.late_rows.flush()
        if rows(node, run_id)[0].signature:
            break
    assert rows(node, run_id)[0].signature
    node.steps.late_rows.flush()


def test_a_node_without_a_key_sends_nothing(stepping_node: Node, run_id: int) -> None:
    calls: list[Any] = []
    node = stepping_node
    node.store.record_failure("m1", Failure(run_id, "The disk was full.", Attempt(1)))
    node.link.push_log = calls.append  # type: ignore[assignment,method-assign]
    node.steps.late_rows.flush()
    assert calls == []


def test_of_too_many_refusals_the_oldest_are_given_up(
    stepping_node: Node, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.supernode.late_rows.MOST_ROWS", 2)
    late = LateRows(stepping_node.store, stepping_node.link)
    for number in range(4):
        late.add(f"m{number}", Failure(run_id, "full", Attempt(1)))
    late.flush()
    written = [row.record.message_id for row in rows(stepping_node, run_id)]
    assert written == ["m2", "m3"]


def test_a_step_that_failed_on_a_full_disk_sends_its_receipt_when_it_is_forgotten(
    stepping_node: Node, sent: Sent, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = stepping_node
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    with monkeypatch.context() as patch:
        patch.setattr(node.store, "record_failure", _full)
        node.train(step, Error(ErrorCode.CLIENT_APP_RAISED, "the reason"))
        node.wait_for_end()
    assert sent.receipts == [None]
    node.steps.late_rows.flush()
    (row,) = rows(node, run_id)
    assert (row.record.message_id, row.record.reason) == (message_id, "the reason")
    assert sent.receipts == [None, row]


def _full(*_: object) -> None:
    raise StoreFullError("The disk is full.")
