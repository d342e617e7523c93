"""Runs that have ended, runs that the SuperLink does not know, and for how long they are kept."""

import time
from collections.abc import Mapping
from contextlib import suppress

from fedstate.store.clock import Moment
from fedstate.store.errors import StoreFullError
from fedstate.store.logged_store import LoggedStore
from fedstate.store.rows import Row

# What a machine that crashes may lose of the time that it has counted.
_SAVED_SECONDS = 600.0


class EndedRunsStore(LoggedStore):
    """A node store that knows which runs have ended, and for how long it has kept them."""

    def finish_run(self, run_id: int) -> None:
        """Note that a run has ended: its state may be freed when the retention says so."""
        self._with_reserve(lambda: self._finish_run(run_id))

    def _finish_run(self, run_id: int) -> None:
        with self._transaction():
            row = self._rows.one("run", str(run_id))
            if row is not None and row["finished_at"] is None:
                self._rows.put("run", row | {"finished_at": time.time()})

    def note_unknown(self, run_id: int) -> bool:
        """Note that the SuperLink does not know a run; return whether that is news."""
        return self._with_reserve(lambda: self._note_unknown(run_id))

    def _note_unknown(self, run_id: int) -> bool:
        with self._transaction():
            if self._rows.one("unknown_run", str(run_id)) is not None:
                return False
            self._rows.put("unknown_run", {"run_id": str(run_id), "since": time.time()})
            return True

    def note_known(self, run_id: int) -> bool:
        """Note that the SuperLink knows a run; return whether that is news."""
        if run_id not in self.unknown_runs():
            return False
        with self._transaction():
            self._rows.delete("unknown_run", str(run_id))
        return True

    def unknown_runs(self) -> dict[int, float]:
        """Return the runs that the SuperLink does not know, and since when (Unix time)."""
        with self._reading() as now:
            rows = now.rows.find("unknown_run", "since")
        return {int(str(row["run_id"])): float(str(row["since"])) for row in rows}

    def retained_seconds(self, moment: Moment) -> Mapping[int, float]:
        """Return for how long the store has kept each run that has ended.

        Also for how long it has kept rows of the log of runs that it does not have, since the
        last of them was written. What was not looked at before counts from now on.

        Parameters
        ----------
        moment : Moment
            This moment.
        """
        with self._reading() as now:
            clock = now.rows.one("node_clock", 1)
            noted = {str(row["run_id"]): row for row in now.rows.find("retained")}
            found = {
                str(row["run_id"]): float(str(row["finished_at"]))
                for row in now.rows.find("run")
                if row["finished_at"] is not None
            }
            found |= {run_id: float(length) for run_id, length in now.log.strays().items()}
        seconds = _counted(clock, moment)
        since = {run_id: float(str(row["since"])) for run_id, row in noted.items()}
        new: dict[str, Row] = {
            run_id: {"run_id": run_id, "since": seconds, "mark": mark}
            for run_id, mark in found.items()
            if run_id not in noted or noted[run_id]["mark"] != mark
        }
        since |= dict.fromkeys(new, seconds)
        gone = noted.keys() - found.keys()
        if new or gone or _is_due(clock, moment):
            counted: Row = {"only": 1, "seconds": seconds}
            counted |= {"boot": moment.boot, "boot_seconds": float(moment.seconds)}
            # On a full disk the next look notes it; what is free to go goes all the same.
            with suppress(StoreFullError), self._transaction():
                for run_id in gone:
                    self._rows.delete("retained", run_id)
                for row in new.values():
                    self._rows.put("retained", row)
                self._rows.put("node_clock", counted)
        return {int(run_id): seconds - since[run_id] for run_id in found}


def _counted(clock: Row | None, moment: Moment) -> float:
    """Return the time that the node has counted until now."""
    if clock is None:
        return 0.0
    return float(str(clock["seconds"])) + _passed(clock, moment)


def _passed(clock: Row, moment: Moment) -> float:
    if clock["boot"] != moment.boot:
        return 0.0
    return max(0.0, moment.seconds - float(str(clock["boot_seconds"])))


def _is_due(clock: Row | None, moment: Moment) -> bool:
    """Whether what was counted is to be written."""
    if clock is None or clock["boot"] != moment.boot:
        return True
    return _passed(clock, moment) >= _SAVED_SECONDS
