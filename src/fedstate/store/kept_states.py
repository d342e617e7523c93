"""The states that runs have left behind, and that are kept so that one can go back to them.

The state that a run has now is in the table of Contexts. Where more than one state of each run is
kept, ``kept_state`` has a row for each of them, the present one included: which step has made it,
its digest, and the value that holds it. States share what did not change between them, as all
values of a store do.
"""

import sqlite3
import time
from dataclasses import dataclass

from fedstate.store.chunks import STORED_BYTES
from fedstate.store.rows import CheckedRows, Row
from fedstate.store.step_log import StepLog
from fedstate.store.values import StoredValue, ValueTable


@dataclass(frozen=True)
class KeptState:
    """One state of a run that the store has.

    Attributes
    ----------
    run_id : int
        The run.
    number : int
        The number of the row in the run's log that has stored it, as in `StepRecord`; 0 for the
        state with which the run began. Of a state whose row the log does not have any longer,
        the number of the newest row: it has left the state as it was.
    generation : int
        The number of the commit that stored it.
    digest : bytes
        The digest of the state; empty if that is not known without reading it.
    committed_at : float
        The Unix time of that commit.
    group_id : str
        The round of the step that has made it; empty if that is not known, or there was none.
    size : int
        Its size in bytes, if it were alone; 0 if that is not known.
    current : bool
        Whether it is the state that the run has now.
    """

    run_id: int
    number: int
    generation: int
    digest: bytes
    committed_at: float
    group_id: str
    size: int
    current: bool


class KeptStates:
    """The kept states in one database; the caller opens and commits the transactions."""

    def __init__(
        self, connection: sqlite3.Connection, rows: CheckedRows, values: ValueTable, log: StepLog
    ) -> None:
        self._db = connection
        self._rows = rows
        self._values = values
        self._log = log

    def of_run(self, run_id: int) -> list[tuple[KeptState, int]]:
        """Return the states of a run, the oldest first, each with the number of its value."""
        rows = self._rows.find("kept_state", "generation", run_id=str(run_id))
        present = self._present(str(run_id))
        now = None if present is None else present["generation"]
        if present is not None and now not in {row["generation"] for row in rows}:
            rows.append(self._described(present))
        return [(_kept(row, now), _int(row["value_id"])) for row in rows]

    def numbered(self, run_id: int, number: int) -> list[tuple[KeptState, int]]:
        """Return the states of a run with this number, without a look at the others."""
        rows = self._rows.find("kept_state", "generation", run_id=str(run_id), number=number)
        present = self._present(str(run_id))
        now = None if present is None else present["generation"]
        return [(_kept(row, now), _int(row["value_id"])) for row in rows]

    def _present(self, run_id: str) -> Row | None:
        """Return the row of the Context that a run has now, if it is not another run's."""
        run = self._rows.one("run", run_id)
        context = None if run is None else self._rows.one("context", run["series_id"])
        return context if context is not None and context["run_id"] == run_id else None

    def _described(self, context: Row) -> Row:
        """Return the row for a Context that none was written for."""
        run_id, generation = int(str(context["run_id"])), _int(context["generation"])
        row: Row = {"run_id": context["run_id"], "generation": generation}
        row |= {"committed_at": context["committed_at"], "value_id": context["value_id"]}
        chain = self._log.chain(run_id)
        number = chain.length if chain else 0
        row |= {"number": number, "group_id": "", "digest": b"", "size": 0}
        last = self._log.newest_stored(run_id)
        if last is None:
            # Since the run began nothing was stored; or it is not known any longer.
            began = chain is not None and chain.complete and not chain.pruned
            return row | {"number": 0 if began else number}
        if last.generation == generation:
            row |= {"number": last.run_sequence, "group_id": last.group_id}
            row |= {"digest": last.stored, "size": last.state_bytes}
        return row

    def replaced(self, context: Row, keep: int, by: int) -> None:
        """Decide what becomes of the state of a Context that is replaced by the one in `by`."""
        value_id = _int(context["value_id"])
        if self._rows.one("kept_state", context["generation"]) is None:
            if keep <= 1 or self._rows.one("run", context["run_id"]) is None:
                self._values.release(value_id)
                return
            # As yet none but the present ones were kept.
            self._rows.put("kept_state", self._described(context))
        self._values.superseded(value_id, by)

    def made(
        self, run_id: str, generation: int, state: StoredValue, group_id: str, keep: int
    ) -> None:
        """Note a state that a run has now, after its row of the log; let go of the oldest."""
        if keep > 1:
            chain = self._log.chain(int(run_id))
            row: Row = {"generation": generation, "run_id": run_id, "group_id": group_id}
            row |= {"number": chain.length if chain else 0, "digest": state.digest}
            row |= {"size": state.size, "value_id": state.value_id, "committed_at": time.time()}
            self._rows.put("kept_state", row)
        beyond = self._db.execute(
            "SELECT generation FROM kept_state WHERE run_id = ? "
            "ORDER BY generation DESC LIMIT -1 OFFSET ?",
            (run_id, keep if keep > 1 else 0),
        ).fetchall()
        for (old,) in beyond:
            self._drop(_int(old))

    def free(self, run_id: str) -> None:
        """Let go of all states of a run but the one that a Context has."""
        for row in self._rows.find("kept_state", run_id=run_id):
            self._drop(_int(row["generation"]))

    def _drop(self, generation: int) -> None:
        row = self._rows.one("kept_state", generation)
        if row is None:
            return
        self._rows.delete("kept_state", generation)
        used = self._db.execute(
            "SELECT 1 FROM context WHERE value_id = ?", (row["value_id"],)
        ).fetchone()
        if used is None:
            self._values.release(_int(row["value_id"]))


_STATE_BYTES = f"""
WITH present AS (
    SELECT value_id FROM context WHERE series_id = :series
    UNION SELECT reply_value FROM step WHERE run_id = :run
    UNION SELECT message_value FROM step WHERE run_id = :run),
former AS (
    SELECT value_id FROM kept_state WHERE run_id = :run EXCEPT SELECT value_id FROM present)
SELECT
    (SELECT coalesce(sum(size), 0) FROM value WHERE value_id IN present)
    + (SELECT coalesce(sum(length(header)), 0) FROM value WHERE value_id IN former)
    + (SELECT coalesce(sum({STORED_BYTES}), 0) FROM chunk WHERE chunk_id IN (
        SELECT chunk_id FROM value_chunk WHERE value_id IN former
        EXCEPT SELECT chunk_id FROM value_chunk WHERE value_id IN present))
"""  # noqa: S608


def state_bytes(connection: sqlite3.Connection, run_id: int, series_id: int) -> int:
    """Return the bytes of what a store has of a run: its state, its messages, former states.

    Of former states only what the others have not is counted.
    """
    names = {"run": str(run_id), "series": str(series_id)}
    return int(connection.execute(_STATE_BYTES, names).fetchone()[0])


def _kept(row: Row, present: object) -> KeptState:
    return KeptState(
        run_id=int(str(row["run_id"])),
        number=_int(row["number"]),
        generation=_int(row["generation"]),
        digest=bytes(row["digest"]) if isinstance(row["digest"], bytes) else b"",
        committed_at=float(str(row["committed_at"])),
        group_id=str(row["group_id"]),
        size=_int(row["size"]),
        current=row["generation"] == present,
    )


def _int(column: object) -> int:
    if not isinstance(column, int):
        raise TypeError(f"A number was expected in the node store, not {column!r}.")
    return column
