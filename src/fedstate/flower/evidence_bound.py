"""The bound of a SuperLink's account: what goes for it, and what is noted of that.

The oldest deliveries of a node in a run go, each with its receipts, and one row says how many
have gone, and up to which step: so `fedstate verify` tells what was dropped from what is missing.
IDs are those of the database: signed.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, delete, exists, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from fedstate.flower.evidence_tables import DELIVERIES, DROPPED, RECEIPTS
from fedstate.witness.record import MalformedRecordError, StepRecord, record_digest

# How many go at once: with the first delivery after a bound was set there may be a million.
_DROPPED_AT_ONCE = 500
# Flower's messages live for hours. One that was not answered for so long never will be.
_ANSWERED_WITHIN = 7 * 24 * 3600.0


def drop_beyond(session: Session, run_id: int, node_id: int, keep: int) -> None:
    """Delete what a node has pulled beyond the last `keep` messages, with its receipts."""
    table = DELIVERIES.c
    of_node = (table.run_id == run_id, table.node_id == node_id)
    newest_first = select(table.number).where(*of_node).order_by(table.number.desc())
    last = session.scalar(newest_first.limit(1).offset(keep))
    if last is None:
        return
    since = time.time() - _ANSWERED_WITHIN
    beyond = (
        select(table.number, table.message_id)
        .where(*of_node, table.number <= last)
        .where((table.answered_at > 0.0) | (table.delivered_at < since))
        .order_by(table.number)
        .limit(_DROPPED_AT_ONCE)
    )
    old = session.execute(beyond).all()
    if not old:
        return
    session.execute(delete(DELIVERIES).where(table.number.in_([row.number for row in old])))
    theirs = (RECEIPTS.c.run_id == run_id, RECEIPTS.c.node_id == node_id)
    # A message that was handed out again has a newer delivery.
    again = exists().where(*of_node, table.message_id == RECEIPTS.c.message_id)
    receipts = session.execute(
        delete(RECEIPTS)
        .where(*theirs, RECEIPTS.c.message_id.in_([row.message_id for row in old]), ~again)
        .returning(RECEIPTS.c.number, RECEIPTS.c.record)
    ).all()
    _note_dropped(session, run_id, node_id, len(old), sorted(receipts))


def has_been_dropped(session: Session, receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt came once more, after its message had gone from the account."""

    def there(table: Table, *columns: str) -> bool:
        same = [table.c[name] == receipt[name] for name in columns]
        return bool(session.scalar(select(exists().where(*same))))

    bounded = there(DROPPED, "run_id", "node_id")
    return bounded and not there(DELIVERIES, "run_id", "node_id", "message_id")


def _note_dropped(
    session: Session, run_id: int, node_id: int, deliveries: int, receipts: Sequence[Any]
) -> None:
    """Note how many rows have gone, and the step of the last of their receipts."""
    of_node = (DROPPED.c.run_id == run_id, DROPPED.c.node_id == node_id)
    before = session.execute(select(DROPPED).where(*of_node)).first()
    store_id, step, anchor = ("", 0, b"")
    if before is not None:
        deliveries += before.deliveries
        store_id, step, anchor = before.store_id, before.step, before.anchor
    for _, row in receipts:
        try:
            record = StepRecord.decode(row)
        except MalformedRecordError:
            continue
        # Another store counts its steps anew.
        if record.store_id != store_id or record.run_sequence > step:
            store_id, step, anchor = record.store_id, record.run_sequence, record_digest(row)
    gone = len(receipts) + (before.receipts if before is not None else 0)
    values: dict[str, Any] = {"deliveries": deliveries, "receipts": gone}
    values |= {"store_id": store_id, "step": step, "anchor": anchor}
    session.execute(
        upsert(DROPPED)
        .values(run_id=run_id, node_id=node_id, **values)
        .on_conflict_do_update(index_elements=["run_id", "node_id"], set_=values)
    )
