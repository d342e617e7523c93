"""The bound of a SuperLink's account, on a real database: what goes, and what is noted of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker
from tests.unit.witness.rows import rows

from fedstate.flower.evidence_log import EvidenceLog
from fedstate.witness import record_digest

RUN, NODE = 2**64 - 5, 2**63 + 7
ROWS = list(rows(40, run_id=RUN, node_id=NODE))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'link.db'}")
    yield made
    made.dispose()


@pytest.fixture
def log(engine: Engine) -> EvidenceLog:
    session = sessionmaker(bind=engine)

    @contextmanager
    def transaction() -> Iterator[Session]:
        with session() as opened, opened.begin():
            yield opened

    return EvidenceLog(engine, transaction)


def message(number: int, run_id: int = RUN, node_id: int = NODE) -> Any:
    metadata = SimpleNamespace(
        run_id=run_id,
        src_node_id=node_id,
        message_id=f"m{number}",
        reply_to_message_id=f"m{number}",
        group_id=str(number),
        message_type="train",
    )
    return SimpleNamespace(metadata=metadata, has_error=lambda: False)


def exchange(log: EvidenceLog, number: int, run_id: int = RUN, node_id: int = NODE) -> None:
    """Note a message, its receipt and its answer, as the handlers do."""
    log.delivered(node_id, [message(number, run_id, node_id)])
    log.receive(run_id, node_id, f"m{number}", ROWS[number - 1], b"s")
    log.answered(message(number, run_id, node_id))


def kept(log: EvidenceLog, run_id: int = RUN) -> list[tuple[str, bool]]:
    """Return the messages that are noted, and whether each has its receipt."""
    rows = [row for page in log.receipts([run_id]) for row in page.records]
    receipts = {f"m{ROWS.index(row) + 1}" for row in rows}
    found = [each for page in log.deliveries([run_id]) for each in page.message_ids]
    assert receipts <= set(found)
    return [(each, each in receipts) for each in found]


def test_all_is_kept_without_a_bound(log: EvidenceLog) -> None:
    for number in range(1, 11):
        exchange(log, number)
    assert kept(log) == [(f"m{number}", True) for number in range(1, 11)]
    assert log.dropped([RUN]) == []


def test_the_last_messages_of_each_node_and_run_are_kept_with_their_receipts(
    log: EvidenceLog,
) -> None:
    log.keep = 3
    for number in range(1, 11):
        exchange(log, number)
        exchange(log, number, 7)
        if number < 3:
            exchange(log, number, node_id=9)
    assert kept(log) == [
        *[(f"m{n}", True) for n in (1, 2)],
        *[(f"m{n}", True) for n in (8, 9, 10)],
    ]
    assert len(kept(log, 7)) == 3
    (dropped,) = log.dropped([RUN])
    assert (dropped.run_id, dropped.node_id) == (RUN, NODE)
    assert (dropped.deliveries, dropped.receipts) == (7, 7)
    assert (dropped.step, dropped.anchor) == (7, record_digest(ROWS[6]))


def test_a_bound_that_is_set_later_reaches_all_that_is_there(
    log: EvidenceLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 31):
        exchange(log, number)
    monkeypatch.setattr("fedstate.flower.evidence_bound._DROPPED_AT_ONCE", 10)
    log.keep = 2
    steps = []
    for number in range(31, 35):
        exchange(log, number)
        (dropped,) = log.dropped([RUN])
        steps.append(dropped.step)
        # What is left follows without a gap.
        assert kept(log)[0] == (f"m{dropped.step + 1}", True)
    assert steps == [10, 20, 30, 32]


def test_what_may_still_be_answered_is_kept(log: EvidenceLog) -> None:
    log.keep = 1
    log.delivered(NODE, [message(1)])
    for number in range(2, 5):
        exchange(log, number)
    assert kept(log) == [("m1", False), ("m4", True)]
    log.receive(RUN, NODE, "m1", ROWS[0], b"s")
    log.answered(message(1))
    exchange(log, 5)
    assert kept(log) == [("m5", True)]
    (dropped,) = log.dropped([RUN])
    assert (dropped.deliveries, dropped.receipts, dropped.step) == (4, 4, 4)


def test_what_was_not_answered_for_a_week_goes(
    log: EvidenceLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.keep = 1
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 1000.0)
        log.delivered(NODE, [message(1)])
    exchange(log, 2)
    assert kept(log) == [("m2", True)]
    (dropped,) = log.dropped([RUN])
    assert (dropped.deliveries, dropped.receipts, dropped.step, dropped.store_id) == (1, 0, 0, "")


def test_a_receipt_that_comes_again_after_it_has_gone_does_not_stay(log: EvidenceLog) -> None:
    log.keep = 1
    for number in (1, 2, 3):
        exchange(log, number)
    log.receive(RUN, NODE, "m1", ROWS[0], b"s")
    assert kept(log) == [("m3", True)]


def test_a_message_that_was_handed_out_again_keeps_its_receipt(log: EvidenceLog) -> None:
    log.keep = 1
    exchange(log, 1)
    log.delivered(NODE, [message(1)])
    assert kept(log) == [("m1", True)]


def test_a_receipt_that_is_no_row_is_counted(log: EvidenceLog) -> None:
    log.keep = 1
    log.delivered(NODE, [message(1)])
    log.receive(RUN, NODE, "m1", b"no row", b"s")
    log.answered(message(1))
    exchange(log, 2)
    (dropped,) = log.dropped([RUN])
    assert (dropped.receipts, dropped.step) == (1, 0)


def test_no_statement_of_a_step_or_a_page_scans_or_sorts(
    log: EvidenceLog, engine: Engine
) -> None:
    """So that a step costs the same at the thousandth round as at the tenth, in any run."""
    log.keep = 5
    statements: set[tuple[str, tuple[Any, ...]]] = set()

    def note(*given: Any) -> None:
        _, _, statement, parameters, _, many = given
        statements.add((statement, tuple(parameters[0] if many else parameters)))

    event.listen(engine, "before_cursor_execute", note)
    for number in range(1, 10):
        exchange(log, number)
    kept(log)
    log.dropped([RUN])
    log.newest_delivery()
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        plans = {
            statement: [
                row[-1]
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            ]
            for statement, values in statements
        }
    assert len(plans) >= 10
    for statement, plan in plans.items():
        for line in plan:
            assert not line.startswith("SCAN") or "CONSTANT ROW" in line, (statement, line)
            assert "TEMP B-TREE" not in line, (statement, line)


def test_statements_of_a_step_are_as_many_after_a_thousand(
    log: EvidenceLog, engine: Engine
) -> None:
    counts = []
    statements: list[Any] = []
    event.listen(engine, "before_cursor_execute", lambda *_: statements.append(1))
    log.keep = 2
    for number in range(1, 41):
        statements.clear()
        exchange(log, number)
        counts.append(len(statements))
    assert len(set(counts[3:])) == 1
