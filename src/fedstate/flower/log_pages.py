"""A node's log on its way to the SuperLink, in our own types."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedstate.flower.proto.exchange_pb2 import LogRequest as LogRequestProto
from fedstate.flower.proto.exchange_pb2 import PushLogRequest, RunLog
from fedstate.store.logged_store import Held
from fedstate.witness.receipts import Receipt
from fedstate.witness.witness_pb2 import Receipt as ReceiptProto


@dataclass(frozen=True)
class LogRequest:
    """What is asked of a node's log.

    Attributes
    ----------
    request_id : str
        What the answer refers to.
    run_ids : tuple of int
        The runs; if it is empty, all.
    after_sequence : int
        The number in the store of the row that the rows follow.
    held : bool
        Whether the digest of each state that is held now is asked for.
    """

    request_id: str
    run_ids: tuple[int, ...] = ()
    after_sequence: int = 0
    held: bool = False

    @staticmethod
    def from_proto(proto: LogRequestProto) -> "LogRequest":
        """Return the request that came in a message."""
        return LogRequest(
            proto.request_id, tuple(proto.run_ids), proto.after_sequence, proto.held
        )


@dataclass(frozen=True)
class LogPage:
    """A page of the answer; or, without a `request_id`, the receipt of a reply that follows.

    Attributes
    ----------
    receipts : sequence of Receipt
        Rows of the log, in their order.
    request_id : str
        What was asked.
    runs : sequence of Held
        With the last page: what the node holds of each run.
    last : bool
        Whether it is the last.
    problem : str
        With the last page: why there is no answer.
    store_id, opening, generation
        The store, the time in which it is open, and the number of its last commit.
    """

    receipts: Sequence[Receipt]
    request_id: str = ""
    runs: Sequence[Held] = ()
    last: bool = False
    problem: str = ""
    store_id: str = ""
    opening: bytes = b""
    generation: int = 0

    def to_proto(self) -> PushLogRequest:
        """Return the page as a message, without the node that sends it."""
        return PushLogRequest(
            request_id=self.request_id,
            receipts=[receipt_proto(each) for each in self.receipts],
            runs=[_run_log(each) for each in self.runs],
            last=self.last,
            problem=self.problem,
            store_id=self.store_id,
            opening=self.opening,
            generation=self.generation,
        )


def receipt_proto(receipt: Receipt) -> ReceiptProto:
    """Return a receipt as a message."""
    return ReceiptProto(record=receipt.row, signature=receipt.signature)


def _run_log(held: Held) -> RunLog:
    chain = held.chain
    return RunLog(
        run_id=chain.run_id,
        present=held.present,
        series_id=held.series_id,
        complete=chain.complete,
        length=chain.length,
        pruned=chain.pruned,
        anchor=chain.anchor,
        head=chain.head,
        held=held.digest,
        problem=held.problem,
        held_by=held.held_by,
    )
