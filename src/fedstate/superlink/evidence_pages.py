"""The parts of an answer with evidence: columns, and rows for an older `fedstate verify`."""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from fedstate.exchange.messages import (
    DELIVERY_COLUMNS,
    Deliveries,
    Delivery,
    EvidencePage,
    NodeLog,
    StoredReceipt,
    StoredReceipts,
)
from fedstate.witness.witness_pb2 import Receipt

# With half a kilobyte each.
_MOST_NOTED = 100_000


class SentReceipts:
    """The receipts of an answer: a row of a node's log that is one of them is not sent again."""

    def __init__(self) -> None:
        self._places: dict[tuple[bytes, bytes], int] = {}
        self._count = 0

    def add(self, receipts: StoredReceipts) -> None:
        """Note receipts; after `_MOST_NOTED` they are counted only."""
        if self._count < _MOST_NOTED:
            each = _each(receipts, ("records", "signatures"))
            self._places.update(zip(each, count(self._count + 1)))
        self._count += len(receipts.records)

    def log_of(self, node_id: int, page: Any) -> NodeLog:
        """Return a page of a node's log as the one who asked for it gets it."""
        rows = [(each.record, each.signature) for each in page.receipts]
        places = [self._places.get(row, 0) for row in rows]
        new = [row for row, place in zip(rows, places, strict=True) if not place]
        return NodeLog(
            node_id=node_id,
            state=("failed" if page.problem else "answered") if page.last else "partial",
            places=places,
            records=[record for record, _ in new],
            signatures=[signature for _, signature in new],
            runs=page.runs,
            problem=page.problem,
            store_id=page.store_id,
            opening=page.opening,
            generation=page.generation,
        )


def in_rows(page: EvidencePage) -> EvidencePage:
    """Return a part of an answer as an older release reads it: each list has a message a row."""
    rows = EvidencePage()
    rows.CopyFrom(page)
    rows.deliveries.extend(_deliveries(page.delivery_columns))
    rows.later_deliveries.extend(_deliveries(page.later_delivery_columns))
    rows.receipts.extend(_receipts(page.receipt_columns))
    for log in rows.logs:
        for record, signature in _each(log, ("records", "signatures")):
            log.receipts.add(record=record, signature=signature)
        log.ClearField("places")
        log.ClearField("records")
        log.ClearField("signatures")
    for name in ("delivery_columns", "later_delivery_columns", "receipt_columns"):
        rows.ClearField(name)
    return rows


def _deliveries(columns: Deliveries) -> Iterator[Delivery]:
    for values in _each(columns, DELIVERY_COLUMNS.values()):
        yield Delivery(run_id=columns.run_id, **dict(zip(DELIVERY_COLUMNS, values, strict=True)))


def _receipts(columns: StoredReceipts) -> Iterator[StoredReceipt]:
    for node_id, record, signature in _each(columns, ("node_ids", "records", "signatures")):
        yield StoredReceipt(
            run_id=columns.run_id,
            node_id=node_id,
            receipt=Receipt(record=record, signature=signature),
        )


def _each(columns: Any, names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the elements of columns that are in the same places."""
    return zip(*(getattr(columns, name) for name in names), strict=True)
