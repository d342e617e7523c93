"""What a SuperLink delivered to which node, and the receipts that came back: two tables of ours.

They are in the SuperLink's database beside flwr's tables, which stay as they are: flwr's own
SuperLink goes on with the same file. Rows are added and a delivery is marked as answered; nothing
is ever replaced. They stay as long as flwr's runs do, which it never deletes. For runs without an
end the log is bounded on request: then the oldest deliveries of a node in a run go, each with its
receipts, and one row says how many have gone, and up to which step.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from flwr.app import Message

# flwr keeps IDs of 64 bits as SQLite's signed integers.
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64
from sqlalchemy import Engine, Select, Table, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from fedstate.flower.evidence_bound import drop_beyond, has_been_dropped
from fedstate.flower.evidence_tables import ACCOUNT, DELIVERIES, DROPPED, RECEIPTS, create_tables
from fedstate.flower.proto.evidence_pb2 import Deliveries, Dropped, StoredReceipts

# How many rows one read of the database brings.
PAGE_ROWS = 2000
# The columns that are read, the number first: each that is takes its time.
_DELIVERY = (
    *("number", "node_id", "message_id", "group_id", "action"),
    *("delivered_at", "answered_at", "reply_id", "failed"),
)
_RECEIPT = ("number", "node_id", "record", "signature")
# What makes flwr's unsigned IDs of the database's signed ones.
_UNSIGNED = 2**64 - 1


class EvidenceLog:
    """The two tables in one database.

    Parameters
    ----------
    engine : Engine
        The database; the tables are created if they are not there.
    session : callable
        Returns a block in one transaction, in which flwr may have written already.

    Attributes
    ----------
    keep : int, optional
        How many deliveries of each node in each run are kept, with their receipts; None for all.
    """

    keep: int | None = None

    def __init__(
        self, engine: Engine, session: Callable[[], AbstractContextManager[Session]]
    ) -> None:
        create_tables(engine)
        self._session = session

    def delivered(self, node_id: int, messages: Sequence[Message]) -> None:
        """Note that messages are handed to a node: durable with the caller's transaction."""
        if not messages:
            return
        rows = [
            {
                "run_id": uint64_to_int64(each.metadata.run_id),
                "node_id": uint64_to_int64(node_id),
                "message_id": each.metadata.message_id,
                "group_id": each.metadata.group_id,
                "action": each.metadata.message_type,
                "delivered_at": time.time(),
                "answered_at": 0.0,
                "reply_id": "",
                "failed": False,
            }
            for each in messages
        ]
        with self._session() as session:
            session.execute(insert(DELIVERIES), rows)
            if self.keep is not None:
                for run_id in {uint64_to_int64(each.metadata.run_id) for each in messages}:
                    drop_beyond(session, run_id, uint64_to_int64(node_id), self.keep)

    def answered(self, reply: Message) -> None:
        """Note that the reply of a node was accepted."""
        metadata, table = reply.metadata, DELIVERIES.c
        with self._session() as session:
            session.execute(
                update(DELIVERIES)
                .where(
                    table.run_id == uint64_to_int64(metadata.run_id),
                    table.node_id == uint64_to_int64(metadata.src_node_id),
                    table.message_id == metadata.reply_to_message_id,
                    table.answered_at == 0.0,
                )
                .values(
                    answered_at=time.time(),
                    reply_id=metadata.message_id,
                    failed=reply.has_error(),
                )
            )

    def receive(
        self, run_id: int, node_id: int, message_id: str, record: bytes, signature: bytes
    ) -> None:
        """Store a receipt, durable when this returns; one that is there stays as it is."""
        row = {
            "run_id": uint64_to_int64(run_id),
            "node_id": uint64_to_int64(node_id),
            "message_id": message_id,
            "digest": hashlib.sha256(record).digest(),
            "record": record,
            "signature": signature,
            "received_at": time.time(),
        }
        with self._session() as session:
            if self.keep is not None and has_been_dropped(session, row):
                return
            session.execute(upsert(RECEIPTS).on_conflict_do_nothing(), [row])

    def newest_delivery(self) -> int:
        """Return the number of the newest delivery, 0 if there is none."""
        with self._session() as session:
            return session.scalar(select(func.max(DELIVERIES.c.number))) or 0

    def deliveries(self, run_ids: Sequence[int], after: int = 0) -> Iterator[Deliveries]:
        """Yield what was delivered for these runs, in the order of the deliveries, in pages.

        With `after`, only those with a greater number.
        """
        # In columns, by their places: to make a message of each takes as long as all the rest.
        for run_id, rows in self._pages(DELIVERIES, _DELIVERY, run_ids, after):
            _, node_ids, message_ids, groups, actions, delivered, answered, replies, failed = zip(
                *rows, strict=True
            )
            yield Deliveries(
                run_id=run_id,
                node_ids=[node_id & _UNSIGNED for node_id in node_ids],
                message_ids=message_ids,
                group_ids=groups,
                actions=actions,
                delivered_at=delivered,
                answered_at=answered,
                reply_ids=replies,
                failed=map(bool, failed),
            )

    def receipts(self, run_ids: Sequence[int]) -> Iterator[StoredReceipts]:
        """Yield the receipts that came for these runs, in the order in which they came."""
        for run_id, rows in self._pages(RECEIPTS, _RECEIPT, run_ids):
            _, node_ids, records, signatures = zip(*rows, strict=True)
            yield StoredReceipts(
                run_id=run_id,
                node_ids=[node_id & _UNSIGNED for node_id in node_ids],
                records=records,
                signatures=signatures,
            )

    def dropped(self, run_ids: Sequence[int]) -> list[Dropped]:
        """Return what is not kept any longer, of each node in these runs."""
        table = DROPPED.c
        found: list[Dropped] = []
        with self._session() as session:
            for run_id in run_ids:
                query = select(DROPPED).where(table.run_id == uint64_to_int64(run_id))
                found += [
                    Dropped(
                        run_id=run_id,
                        node_id=int64_to_uint64(row.node_id),
                        deliveries=row.deliveries,
                        receipts=row.receipts,
                        store_id=row.store_id,
                        step=row.step,
                        anchor=row.anchor,
                    )
                    for row in session.execute(query)
                ]
        return found

    def began_at(self) -> float:
        """Return since when deliveries are noted (Unix time)."""
        with self._session() as session:
            return session.scalar(select(ACCOUNT.c.began_at)) or 0.0

    def _pages(
        self, table: Table, names: Sequence[str], run_ids: Sequence[int], start: int = 0
    ) -> Iterator[tuple[int, Sequence[Any]]]:
        for run_id in run_ids:
            after = start
            while True:
                of_run = table.c.run_id == uint64_to_int64(run_id)
                wanted = [table.c[name] for name in names]
                query = select(*wanted).where(of_run, table.c.number > after)
                # A transaction for each page: nobody who writes waits for a slow reader.
                with self._session() as session:
                    rows = _tuples(session, query.order_by(table.c.number).limit(PAGE_ROWS))
                if not rows:
                    break
                yield run_id, rows
                after = rows[-1][0]  # the number of a row is its first column
                if len(rows) < PAGE_ROWS:
                    break

    def was_delivered(self, node_id: int, run_id: int, message_id: str) -> bool:
        """Return whether a message of a run was handed to a node."""
        table = DELIVERIES.c
        query = select(table.number).where(
            table.run_id == uint64_to_int64(run_id),
            table.node_id == uint64_to_int64(node_id),
            table.message_id == message_id,
        )
        with self._session() as session:
            return session.scalar(query.limit(1)) is not None

    def delivered_to(self, node_id: int, run_id: int, most: int) -> list[str]:
        """Return the IDs of the newest messages of a run that were handed to a node."""
        table = DELIVERIES.c
        query = (
            select(table.message_id)
            .where(
                table.run_id == uint64_to_int64(run_id), table.node_id == uint64_to_int64(node_id)
            )
            .order_by(table.number.desc())
            .limit(most)
        )
        with self._session() as session:
            return list(session.scalars(query))


def _tuples(session: Session, query: Select[Any]) -> list[tuple[Any, ...]]:
    """Return rows as SQLite has them: to make SQLAlchemy's of them takes four times as long."""
    result = session.connection().execute(query)
    try:
        assert result.cursor is not None  # noqa: S101  of a query
        return list(result.cursor.fetchall())
    finally:
        result.close()
