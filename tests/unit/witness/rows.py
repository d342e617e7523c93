"""Rows of a node's log for tests, chained as a node chains them."""

from collections.abc import Iterator
from typing import Any

from fedstate.witness.receipts import Receipt
from fedstate.witness.record import COMMITTED, StepRecord, genesis, record_digest

STORE = "5" * 32

FIRST = StepRecord(
    sequence=1,
    run_sequence=1,
    run_id=2**64 - 1,
    series_id=2**64 - 2,
    node_id=2**63,
    store_id=STORE,
    group_id="1",
    action="train",
    message_id="m" * 64,
    handed_out=b"\1" * 32,
    stored=b"\2" * 32,
    state_bytes=2**31,
    new_bytes=1,
    app_seconds=0.5,
    commit_seconds=0.25,
    time=1000.0,
    outcome=COMMITTED,
    reason="",
    previous=genesis(STORE, 2**64 - 1),
    previous_of_store=b"",
    generation=2,
    opening=b"\3" * 16,
)


def rows(count: int, **changes: Any) -> Iterator[bytes]:
    """Yield the rows of a run, each linked to the one before it."""
    first = FIRST._replace(**changes)
    previous, of_store = genesis(first.store_id, first.run_id), b""
    for number in range(1, count + 1):
        row = first._replace(
            sequence=number,
            run_sequence=number,
            group_id=str(number),
            previous=previous,
            previous_of_store=of_store,
        ).encode()
        previous = of_store = record_digest(row)
        yield row


def receipts(count: int, **changes: Any) -> list[Receipt]:
    """Return the rows as receipts that are not signed."""
    return [Receipt(row) for row in rows(count, **changes)]
