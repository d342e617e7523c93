"""Which runs of a node go on, and which have ended, as far as it has been told."""

import threading
from collections.abc import Collection, Iterable

from fedstate.store.node_store import StoredRun

# How many runs a SuperLink is asked of: those that began last. It may have forgotten the others.
_NAMED = 1000


class Runs:
    """The runs of a node; safe to use from every thread.

    A run that has ended does not go on again.

    Parameters
    ----------
    stored : iterable of StoredRun
        What the node store has.
    """

    def __init__(self, stored: Iterable[StoredRun] = ()) -> None:
        self._lock = threading.Lock()
        # In the order in which they began.
        self._going: dict[int, None] = {}
        self._ended: set[int] = set()
        self._unnoted: set[int] = set()
        for run in stored:
            if run.finished_at is None:
                self._going[run.run_id] = None
            else:
                self._ended.add(run.run_id)

    def begin(self, run_id: int) -> None:
        """Note that there is a step of a run; nothing changes for a run that has ended."""
        with self._lock:
            if run_id not in self._ended:
                self._going[run_id] = None

    def end(self, run_id: int) -> bool:
        """Note that a run has ended; return whether that is news."""
        with self._lock:
            if run_id in self._ended:
                return False
            self._going.pop(run_id, None)
            self._ended.add(run_id)
            self._unnoted.add(run_id)
            return True

    def has_ended(self, run_id: int) -> bool:
        """Whether it is known that a run has ended."""
        return run_id in self._ended

    def going(self) -> list[int]:
        """Return the runs of which the SuperLink is asked whether they have ended."""
        with self._lock:
            return list(self._going)[-_NAMED:]

    def not_going(self, run_ids: Collection[int]) -> list[int]:
        """Return those of the given runs that have ended, or of which there is nothing here."""
        with self._lock:
            return [run_id for run_id in run_ids if run_id not in self._going]

    def unnoted(self) -> list[int]:
        """Return the runs that have ended and of which the store has not been told."""
        with self._lock:
            return list(self._unnoted)

    def noted(self, run_id: int) -> None:
        """Say that the store has been told that a run has ended."""
        with self._lock:
            self._unnoted.discard(run_id)
