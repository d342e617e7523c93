"""The log of a node whose SuperNode runs, as its database has it, and what it must hold."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fedstate.flower.stored_values import describe_state
from fedstate.store.check import check
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import PlainCipher
from fedstate.store.content import ContentDirectory
from fedstate.store.database import DATABASE, connect
from fedstate.store.rows import CheckedRows
from fedstate.store.step_log import Chain, StepLog
from fedstate.store.values import ValueTable
from fedstate.witness import EMPTY_STATE, StepRecord, state_digest


class NodeLog:
    """One moment of a node store that is not encrypted."""

    def __init__(self, rows: CheckedRows, values: ValueTable, log: StepLog) -> None:
        self._rows, self._values, self._log = rows, values, log

    def chain(self, run_id: int) -> Chain | None:
        return self._log.chain(run_id)

    def records(self, run_id: int) -> list[StepRecord]:
        return [receipt.record for receipt in self._log.of_run(run_id)]

    def held(self, run_id: int) -> bytes:
        """Return the digest of the state that is stored now, computed from its content."""
        run = self._rows.one("run", str(run_id))
        assert run is not None
        context = self._rows.one("context", run["series_id"])
        assert context is not None
        assert isinstance(context["value_id"], int)
        value, blobs = self._values.get_state(context["value_id"])
        return state_digest(describe_state(value.header), blobs)

    def steps(self) -> dict[str, str]:
        """Return the status of each step in the store, by its message."""
        return {str(row["message_id"]): str(row["status"]) for row in self._rows.find("step")}


@contextmanager
def node_log(directory: Path) -> Iterator[NodeLog]:
    """Read one moment of the store in a state directory."""
    with closing(connect(directory / DATABASE, write=False)) as connection:
        connection.execute("BEGIN")
        cipher = PlainCipher()
        rows = CheckedRows(connection, cipher)
        log = StepLog(connection, rows, cipher)
        chunks = Chunks(connection, cipher, ContentDirectory(directory))
        yield NodeLog(rows, ValueTable(connection, cipher, chunks), log)


def check_log(directory: Path, run_id: int, *, begins_empty: bool = True) -> list[StepRecord]:
    """Check that a store and its log tell of one and the same run; return the rows.

    Each step was given what the one before it has stored, what the last one has stored is there,
    and a state without its row, or a row without its state, is nowhere.
    """
    assert check(directory).problems == []
    with node_log(directory) as log:
        records = log.records(run_id)
        held, steps = log.held(run_id), log.steps()
    last = EMPTY_STATE if begins_empty else b""
    for record in records:
        if record.handed_out and last:
            assert record.handed_out == last, f"row {record.run_sequence} was given another state"
        last = record.stored or last
    assert held == last
    committed = [each.message_id for each in records if each.committed]
    assert len(committed) == len(set(committed)), "a step was committed twice"
    stored = {key for key, status in steps.items() if status != "received"}
    assert set(committed) >= stored & {each.message_id for each in records}
    return records
