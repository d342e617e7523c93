"""Our tables are added to a database that is there, whatever it has of them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, select

from fedstate.flower.evidence_tables import ACCOUNT, DELIVERIES, create_tables


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'link.db'}")
    yield made
    made.dispose()


def test_a_database_of_before_gets_the_indexes(engine: Engine) -> None:
    DELIVERIES.create(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX fedstate_delivery_in_order")
    create_tables(engine)
    with engine.connect() as connection:
        names = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master")}
    assert {"fedstate_delivery_in_order", "fedstate_dropped", "fedstate_account"} <= names


def test_the_account_knows_since_when_it_is_kept(engine: Engine) -> None:
    began: list[float] = []
    for _ in range(2):
        create_tables(engine)
        with engine.connect() as connection:
            began.append(connection.execute(select(ACCOUNT.c.began_at)).scalar_one())
    assert began[0] == began[1]
    assert time.time() - 60 < began[0] <= time.time()
