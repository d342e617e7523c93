"""What a node store does with the states that runs have left behind."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from fedstate.failpoints import reach
from fedstate.store.errors import DamagedValueError, StoreError, StoreFullError
from fedstate.store.kept_states import KeptState, KeptStates
from fedstate.store.logged_store import LoggedStore
from fedstate.store.packing import Packing
from fedstate.store.readers import Snapshot
from fedstate.store.rows import Row
from fedstate.store.step_log import Attempt, Ended
from fedstate.store.values import DigestedValue, StoredValue, Value
from fedstate.witness.digests import state_digest
from fedstate.witness.record import ROLLED_BACK

# Others wait for the thread that maintains the store.
_PACKING_SECONDS = 1.0
# How many of the first and the last kept states an error names.
_NAMED = 5


class StateNotKeptError(StoreError):
    """The store does not have a state that was asked for; the text says which ones it has."""


@dataclass(frozen=True)
class Origin:
    """Where the first state of a run is from: the state of a run, as in `KeptState`."""

    run_id: int
    number: int


class KeepingStore(LoggedStore):
    """A node store with the states that it keeps of each run; see `KeptStates`.

    Attributes
    ----------
    keep : int
        How many states of each run are kept, the present one included.
    is_behind : bool
        Whether the last `maintain` has left states that can be made small.
    """

    keep: int = 1
    is_behind: bool = False

    def kept_states(self, run_id: int) -> list[KeptState]:
        """Return the states of a run that the store has, the oldest first, the present one last.

        There is none of a run that the store does not have.
        """
        with self._reading() as now:
            return [state for state, _ in _states(now).of_run(run_id)]

    def kept_context(self, run_id: int, number: int | None = None) -> tuple[KeptState, Value]:
        """Return one state of a run, and its Context as it was stored.

        Parameters
        ----------
        run_id : int
            The run.
        number : int, optional
            Its number; without it, the state that the run has now.

        Raises
        ------
        StateNotKeptError
            The store has no such state.
        StoreDamagedError
            It is not what was stored.
        """
        with self._reading() as now:
            states = _states(now)
            found = [] if number is None else states.numbered(run_id, number)
            # One that was not noted is among all of them, or none is, which is then said.
            state, value_id = find_state(found or states.of_run(run_id), run_id, number)
            return state, now.values.get(value_id)

    def roll_back(
        self, run_id: int, number: int, describe: Callable[[bytes], bytes]
    ) -> KeptState:
        """Make a kept state of a run its present one, and write that into the log.

        The states that came after it stay kept: one can go forward to them again.

        Parameters
        ----------
        run_id : int
            The run.
        number : int
            The number of the state.
        describe : callable
            Returns the description of a state from the header of its Context, for its digest.

        Returns
        -------
        KeptState
            What the run has now: the state under its new number.

        Raises
        ------
        StateNotKeptError
            The store has no such state.
        StoreError
            The store has no such run, a step of it is under way, or the run has that state now.
        StoreDamagedError
            The state is not what was stored.
        """
        with self._transaction(commits_state=True) as generation:
            run = self._rows.one("run", str(run_id))
            if run is None:
                raise StoreError(f"The node store in '{self.directory}' has no run {run_id}.")
            for status in ("received", "committed"):
                if step := self._rows.find("step", run_id=str(run_id), status=status):
                    raise StoreError(
                        f"Run {run_id} has a step under way (message "
                        f"{step[0]['message_id']!s}), and nothing was changed. Let it end, with "
                        f"the SuperNode running, or stop the run ('flwr stop {run_id}'), then "
                        "roll it back."
                    )
            state, value_id = find_state(self._kept.of_run(run_id), run_id, number)
            if state.current:
                raise StoreError(f"Run {run_id} has state {number} now; nothing was changed.")
            digest = self._digest_of(value_id, describe)
            if state.digest not in (b"", digest):
                raise DamagedValueError(
                    f"state {number} of run {run_id} does not have its digest"
                )
            stored = StoredValue(*self._values.copy(value_id), 0, digest)
            series_id, origin = str(run["series_id"]), Origin(run_id, number)
            self._replace_context(series_id, str(run_id), stored, generation, sys.maxsize)
            node_id = self._node_of(run_id)
            self._log_state(ROLLED_BACK, series_id, run_id, stored, generation, origin, node_id)
            # Nothing is let go of here: how many are kept is the SuperNode's to say.
            self._kept.made(str(run_id), generation, stored, state.group_id, sys.maxsize)
            states = [kept for kept, _ in self._kept.of_run(run_id)]
            reach("rollback")
        return replace(states[-1], current=True)

    def maintain(self) -> None:
        """Store former states as differences, as `Packing` does, then maintain the rest.

        Of the differences only so many are made as a second allows: the others next time; see
        `is_behind`.
        """
        # First: it may be the way out of a full disk, and what it needs is not to be taken.
        self.collect()
        end = time.monotonic() + _PACKING_SECONDS
        self.is_behind = False
        with suppress(StoreFullError):
            while self._pack():
                # A difference takes room in the log before its chunk's file gets smaller.
                self._sweep()
                if time.monotonic() >= end:
                    self.is_behind = True
                    break
        super().maintain()

    def _pack(self) -> bool:
        with self._translated(), self._write_lock:
            packing = Packing(self._db, self._chunks)
            if not packing.has_work or self.room.is_short:
                return False
            self.room.need()
            with self._transaction():
                packing.work()
        return True

    def _put_context(
        self, series_id: str, run_id: str, context: DigestedValue, generation: int
    ) -> StoredValue:
        state = self._values.put_state(context)
        self._replace_context(series_id, run_id, state, generation, self.keep)
        return state

    def _replace_context(
        self, series_id: str, run_id: str, state: StoredValue, generation: int, keep: int
    ) -> None:
        old = self._rows.one("context", series_id)
        row: Row = {"series_id": series_id, "run_id": run_id, "generation": generation}
        row |= {"committed_at": time.time(), "value_id": state.value_id}
        self._rows.put("context", row)
        if old is not None:
            self._kept.replaced(old, keep, state.value_id)

    def _digest_of(self, value_id: int, describe: Callable[[bytes], bytes]) -> bytes:
        header, count, chunks = self._values.layout(value_id)
        blobs: list[list[bytes]] = [[] for _ in range(count)]
        for blob, address in chunks:
            if (content := self._values.chunk_content(address)) is None:
                raise DamagedValueError(f"a chunk of value {value_id} is missing")
            blobs[blob].append(content)
        return state_digest(describe(header), blobs)

    def _node_of(self, run_id: int) -> int:
        """Return the node that the newest row of a run names, or else that of any run."""
        rows = [self._steps.newest_of(run_id), self._steps.last()]
        return next((row.record.node_id for row in rows if row is not None), 0)

    def _log_state(
        self,
        outcome: str,
        series_id: str,
        run_id: int,
        state: StoredValue,
        generation: int,
        origin: Origin,
        node_id: int,
    ) -> None:
        """Write the row of a state that no step has made."""
        ended = Ended(
            *(str(run_id), series_id, "", outcome, generation, ""),
            *(state.digest, state.size, state.new_bytes, origin.run_id, origin.number),
        )
        self._steps.append(ended, Attempt(node_id), self.keep_log)


def _states(now: Snapshot) -> KeptStates:
    return KeptStates(now.db, now.rows, now.values, now.log)


def find_state(
    states: list[tuple[KeptState, int]], run_id: int, number: int | None
) -> tuple[KeptState, int]:
    """Return the state with a number among those of a run, or the present one; with its value.

    Raises
    ------
    StateNotKeptError
        There is none; it says which ones there are.
    """
    for state, value_id in reversed(states):
        if state.current if number is None else state.number == number:
            return state, value_id
    if not states:
        raise StateNotKeptError(f"The node store has no state of run {run_id}.")
    numbers = [str(state.number) for state, _ in states]
    if len(numbers) > 2 * _NAMED:
        numbers = [*numbers[:_NAMED], "...", *numbers[-_NAMED:]]
    there = ", ".join(numbers)
    what = "present state" if number is None else f"state {number}"
    raise StateNotKeptError(
        f"The {what} of run {run_id} is not kept; of this run the node has: {there}. "
        "The last N states of each run are kept, from then on, with 'fedstate supernode --keep "
        "N', 'fedstate local up --keep N', or FEDSTATE_KEEP=N in .env for containers."
    )
