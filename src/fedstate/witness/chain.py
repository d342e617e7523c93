"""The rule by which the rows of a run hold together, and what breaks it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from fedstate.witness.receipts import Receipt
from fedstate.witness.record import MalformedRecordError, StepRecord, genesis


class Fault(Enum):
    """How a chain of rows can be broken."""

    MALFORMED = "is not a row"
    OF_ANOTHER_RUN = "is of another run"
    OF_ANOTHER_STORE = "is of another store"
    OF_ANOTHER_NODE = "is of another node"
    MISSING = "is missing"
    OUT_OF_ORDER = "is not in its place"
    NOT_LINKED = "does not follow from the row before it"


@dataclass(frozen=True)
class Break:
    """One place at which a chain is broken.

    Attributes
    ----------
    fault : Fault
        How.
    run_sequence : int
        The number of the row, in its run; for missing rows, of the first of them.
    count : int
        Of missing rows, how many.
    detail : str
        What was found, for a reader.
    """

    fault: Fault
    run_sequence: int
    count: int = 1
    detail: str = ""


def breaks(
    receipts: Iterable[Receipt],
    *,
    run_id: int,
    store_id: str | None = None,
    node_id: int | None = None,
    pruned: int = 0,
    anchor: bytes = b"",
    length: int | None = None,
) -> Iterator[Break]:
    """Yield what is wrong with the rows of one run, in the order in which they are given.

    Parameters
    ----------
    receipts : iterable of Receipt
        The rows, by their number in the run. Signatures are not looked at: see `signed_by`.
    run_id : int
        The run that they have to be of.
    store_id : str, optional
        The store that they have to be of; without it, that of the first.
    node_id : int, optional
        The node that they have to be of; without it, that of the first.
    pruned : int
        How many rows the node says it has removed from the beginning.
    anchor : bytes
        The digest of the last of them.
    length : int, optional
        How many rows the run has had, the removed ones included, if that is known.
    """
    last, digest = pruned, anchor
    for receipt in receipts:
        try:
            record = receipt.record
        except MalformedRecordError as error:
            yield Break(Fault.MALFORMED, last + 1, detail=str(error))
            # Its number is not known, and the next row names something else.
            last, digest = last + 1, b""
            continue
        store_id = record.store_id if store_id is None else store_id
        node_id = record.node_id if node_id is None else node_id
        number = record.run_sequence
        wrong = _foreign(record, run_id, store_id, node_id)
        if wrong is not None:
            yield wrong
            continue
        if number <= last:
            yield Break(Fault.OUT_OF_ORDER, number, detail=f"it comes after row {last}")
            continue
        if number > last + 1:
            yield Break(Fault.MISSING, last + 1, number - last - 1)
        else:
            expected = digest if last else genesis(store_id, run_id)
            if expected and record.previous != expected:
                yield Break(Fault.NOT_LINKED, number)
        last, digest = number, receipt.digest
    if length is not None and last < length:
        yield Break(Fault.MISSING, last + 1, length - last)


def _foreign(record: StepRecord, run_id: int, store_id: str, node_id: int) -> Break | None:
    number = record.run_sequence
    if record.run_id != run_id:
        return Break(Fault.OF_ANOTHER_RUN, number, detail=f"run {record.run_id}")
    if record.store_id != store_id:
        return Break(Fault.OF_ANOTHER_STORE, number, detail=f"store {record.store_id}")
    if record.node_id != node_id:
        return Break(Fault.OF_ANOTHER_NODE, number, detail=f"node {record.node_id}")
    return None
