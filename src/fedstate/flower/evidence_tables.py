"""Our tables in a SuperLink's database, beside flwr's, which stay as they are.

flwr's own SuperLink goes on with the same file. IDs of 64 bits are kept as flwr keeps them: as
SQLite's signed integers.
"""

import time

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
)
from sqlalchemy.dialects.sqlite import insert as upsert

_METADATA = MetaData()
DELIVERIES = Table(
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
    # Each has the number beside what it names: pages, and the oldest ones, are found without
    # sorting the rows of the run.
    Index("fedstate_delivery_in_order", "run_id"),
    Index("fedstate_delivery_of_node", "run_id", "node_id"),
)
RECEIPTS = Table(
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
    Index("fedstate_receipt_in_order", "run_id"),
    Index("fedstate_receipt_of_message", "run_id", "node_id", "message_id"),
)
DROPPED = Table(
    "fedstate_dropped",
    _METADATA,
    Column("run_id", BigInteger, primary_key=True),
    Column("node_id", BigInteger, primary_key=True),
    Column("deliveries", Integer, nullable=False),
    Column("receipts", Integer, nullable=False),
    Column("store_id", String, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("anchor", LargeBinary, nullable=False),
)

ACCOUNT = Table(
    "fedstate_account",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("began_at", Float, nullable=False),
)


def create_tables(engine: Engine) -> None:
    """Create the tables that a database does not have, and the indexes that its tables lack."""
    _METADATA.create_all(engine)
    for table in _METADATA.tables.values():
        for index in table.indexes:
            index.create(engine, checkfirst=True)
    with engine.begin() as connection:
        began = upsert(ACCOUNT).values(number=1, began_at=time.time())
        connection.execute(began.on_conflict_do_nothing())
