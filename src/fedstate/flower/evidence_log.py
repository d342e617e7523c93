"""What a SuperLink delivered to which node, and the receipts that came back: two tables of ours.

They are in the SuperLink's database beside flwr's tables, which stay as they are: flwr's own
SuperLink goes on with the same file. Rows are added and a delivery is marked as answered; nothing
is ever replaced or deleted.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from flwr.app import Message

# flwr keeps IDs of 64 bits as SQLite's signed integers.
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore
from sqlalchemy.orm import Session

from fedstate.flower.proto.evidence_pb2 import Delivery, StoredReceipt
from fedstate.witness.witness_pb2 import Receipt

_METADATA = MetaData()
_DELIVERIES = Table(
    "fedstate_delivery",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("node_id", BigInteger, nullable=False),
    Column("message_id", String, nullable=False),
    Column("group_id", String, nullable=False),
    Column("action", String, nullable=False),
    Column("delivered_at", Float, nullable=False),
    Column("answered_at", Float, nullable=False),
    Column("reply_id", String, nullable=False),
    Column("failed", Boolean, nullable=False),
    Index("fedstate_delivery_of_run", "run_id", "node_id", "message_id"),
)
_RECEIPTS = Table(
    "fedstate_receipt",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("node_id", BigInteger, nullable=False),
    Column("message_id", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("received_at", Float, nullable=False),
    # A receipt that is sent again is kept once; another one for the same step is kept, too.
    Index("fedstate_receipt_of_run", "run_id", "node_id", "digest", unique=True),
)

# How many rows one read of the database brings.
PAGE_ROWS = 2000


class EvidenceLog:
    """The two tables in one database.

    Parameters
    ----------
    engine : Engine
        The database; the tables are created if they are not there.
    session : callable
        Returns a block in one transaction, in which flwr may have written already.
    """

    def __init__(
        self, engine: Engine, session: Callable[[], AbstractContextManager[Session]]
    ) -> None:
        _METADATA.create_all(engine)
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
            session.execute(insert(_DELIVERIES), rows)

    def answered(self, reply: Message) -> None:
        """Note that the reply of a node was accepted."""
        metadata, table = reply.metadata, _DELIVERIES.c
        with self._session() as session:
            session.execute(
                update(_DELIVERIES)
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
            session.execute(insert_or_ignore(_RECEIPTS).on_conflict_do_nothing(), [row])

    def newest_delivery(self) -> int:
        """Return the number of the newest delivery, 0 if there is none."""
        with self._session() as session:
            return session.scalar(select(func.max(_DELIVERIES.c.number))) or 0

    def deliveries(self, run_ids: Sequence[int], after: int = 0) -> Iterator[list[Delivery]]:
        """Yield what was delivered for these runs, in the order of the deliveries, in pages.

        With `after`, only those with a greater number.
        """
        for rows in self._pages(_DELIVERIES, run_ids, after):
            yield [
                Delivery(
                    run_id=int64_to_uint64(row.run_id),
                    node_id=int64_to_uint64(row.node_id),
                    message_id=row.message_id,
                    group_id=row.group_id,
                    action=row.action,
                    delivered_at=row.delivered_at,
                    answered_at=row.answered_at,
                    reply_id=row.reply_id,
                    failed=row.failed,
                )
                for row in rows
            ]

    def receipts(self, run_ids: Sequence[int]) -> Iterator[list[StoredReceipt]]:
        """Yield the receipts that came for these runs, in the order in which they came."""
        for rows in self._pages(_RECEIPTS, run_ids):
            yield [
                StoredReceipt(
                    run_id=int64_to_uint64(row.run_id),
                    node_id=int64_to_uint64(row.node_id),
                    message_id=row.message_id,
                    receipt=Receipt(record=row.record, signature=row.signature),
                    received_at=row.received_at,
                )
                for row in rows
            ]

    def _pages(
        self, table: Table, run_ids: Sequence[int], start: int = 0
    ) -> Iterator[Sequence[Any]]:
        for run_id in run_ids:
            after = start
            while True:
                of_run = table.c.run_id == uint64_to_int64(run_id)
                query = select(table).where(of_run, table.c.number > after)
                # A transaction for each page: nobody who writes waits for a slow reader.
                with self._session() as session:
                    rows = session.execute(query.order_by(table.c.number).limit(PAGE_ROWS)).all()
                if not rows:
                    break
                yield rows
                after = rows[-1].number
                if len(rows) < PAGE_ROWS:
                    break

    def was_delivered(self, node_id: int, run_id: int, message_id: str) -> bool:
        """Return whether a message of a run was handed to a node."""
        table = _DELIVERIES.c
        query = select(table.number).where(
            table.run_id == uint64_to_int64(run_id),
            table.node_id == uint64_to_int64(node_id),
            table.message_id == message_id,
        )
        with self._session() as session:
            return session.scalar(query.limit(1)) is not None

    def delivered_to(self, node_id: int, run_id: int, most: int) -> list[str]:
        """Return the IDs of the newest messages of a run that were handed to a node."""
        table = _DELIVERIES.c
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
