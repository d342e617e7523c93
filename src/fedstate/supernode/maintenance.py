"""What a SuperNode does beside its steps: checkpoints, ended runs, retention, lost tasks.

All of it is done by one thread, ``maintenance``, which holds no lock while it waits for the
SuperLink.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fedstate.flower.errors import RunStatus, SuperLinkError
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.stored_values import describe_state
from fedstate.logs import labelled, logger
from fedstate.logs.run_files import delete_output
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.store.keeping_store import Origin
from fedstate.store.kept_states import KeptState
from fedstate.store.node_store import StoredRun
from fedstate.store.requests import answer_requests
from fedstate.store.retention import Choice, Freed, Retention, free
from fedstate.supernode.late_rows import LateRows
from fedstate.supernode.link import Link
from fedstate.supernode.output import delete_strays
from fedstate.supernode.runs import Runs

STORE_SECONDS = 2.0
RUNS_SECONDS = 30.0
# A SuperLink that says at once which runs have ended is asked this many times more rarely, though
# soon after it was away: it may not know the others any longer.
_RARELY = 20


class EndsRuns(Protocol):
    """Who has steps of runs; `Steps` is one."""

    runs: Runs
    late_rows: LateRows

    def running(self, run_id: int) -> bool:
        """Whether a step of this run is running or waiting."""

    def end_run(self, run_id: int) -> None:
        """Drop the steps of a run that has ended."""


class Maintenance:
    """A thread that keeps the store small and notices runs that ended and tasks that are lost.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    link : Link
        The node's runs and messages at the SuperLink.
    retention : Retention
        How long the state of finished runs is kept.
    steps : EndsRuns
        The steps, which drop what they have of a run that has ended.
    on_failure : callable
        Is called with an error that ends the SuperNode.
    output : Path, optional
        Where the executor keeps what runs print; without it, nothing of that is deleted.
    store_seconds, runs_seconds : float
        The pauses between two looks at the store and its tasks, and at the runs.
    """

    def __init__(
        self,
        state: DurableNodeState,
        link: Link,
        retention: Retention,
        *,
        steps: EndsRuns,
        on_failure: Callable[[BaseException], None],
        output: Path | None = None,
        store_seconds: float = STORE_SECONDS,
        runs_seconds: float = RUNS_SECONDS,
    ) -> None:
        self._state = state
        self._link = link
        self._retention = retention
        self._steps = steps
        self._on_failure = on_failure
        self._output = output
        self._store_seconds = store_seconds
        self._runs_seconds = runs_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._maintained = -1
        self._next_runs = 0.0
        self._next_look_up = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after what it is doing."""
        self._stopped.set()
        if self._thread.is_alive():
            # Not for ever: it may be waiting for a SuperLink that is away.
            self._thread.join(STORE_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._store_seconds):
                try:
                    self._once()
                except StoreFullError as error:
                    self._state.store.room.say(error)
        except BaseException as error:
            self._on_failure(error)

    def _once(self) -> None:
        # Looking at tasks is what makes flwr notice those whose process is gone.
        self._state.get_tasks(task_ids=[0])
        # First: it may be the way out of what makes the rest fail.
        answer_requests(self._state.store.directory, self._free, self._roll_back)
        self._state.store.look_for_room()
        self._steps.late_rows.flush()
        generation = self._state.store.generation
        if generation != self._maintained or self._state.store.is_behind:
            self._state.store.maintain()
            self._maintained = generation
        self._note_ended_runs()
        now = time.monotonic()
        if not self._link.tells_ends:
            self._next_look_up = min(self._next_look_up, self._next_runs)
        if now >= self._next_look_up:
            self._next_look_up = now + _RARELY * self._runs_seconds
            self._look_up_runs()
        if now >= self._next_runs:
            self._next_runs = now + self._runs_seconds
            self._apply_retention()

    def _note_ended_runs(self) -> None:
        """Tell the store of runs that have ended, once nothing of them is under way."""
        runs = self._steps.runs
        ended = [run_id for run_id in runs.unnoted() if not self._steps.running(run_id)]
        stored = {run.run_id: run for run in self._state.store.runs()} if ended else {}
        for run_id in ended:
            if (run := stored.get(run_id)) is not None:
                self._state.store.finish_run(run_id)
                self._state.forget_run(run_id, run.series_id)
            runs.noted(run_id)

    def _look_up_runs(self) -> None:
        for run in self._state.store.runs():
            if run.finished_at is not None or self._steps.runs.has_ended(run.run_id):
                continue
            try:
                status = self._link.run_status(run.run_id)
            except SuperLinkError as error:
                if not error.said:
                    logger.warning("Run %s cannot be looked up. %s", run.run_id, error)
            else:
                self._note_status(run, status)

    def _note_status(self, run: StoredRun, status: RunStatus) -> None:
        store = self._state.store
        if status is RunStatus.UNKNOWN:
            # A SuperLink with another database knows it no more than one that has lost it; and
            # a node that was taken out of a federation may be put back. So nothing is deleted.
            if store.note_unknown(run.run_id):
                logger.warning(
                    "The SuperLink does not know run %s, or this node is not in its federation. "
                    "Its state is kept. If the run will not go on, free it with: "
                    "fedstate state free %s --state %s",
                    run.run_id,
                    run.run_id,
                    store.directory,
                )
            return
        if store.note_known(run.run_id):
            logger.info("The SuperLink knows run %s again.", run.run_id)
        if status is RunStatus.ENDED:
            self._steps.end_run(run.run_id)

    def _free(self, choice: Choice) -> Freed:
        store = self._state.store
        series = {run.run_id: run.series_id for run in store.runs()}
        freed = free(store, choice, busy=self._steps.running)
        for run_id in map(int, freed.runs):
            self._state.forget_run(run_id, series[run_id])
            logger.info("The state of run %s is freed, as an operator has asked.", run_id)
            self._delete_output(run_id)
        return freed

    def _roll_back(self, origin: Origin) -> KeptState:
        """Give a run a former state again, which it has no step under way for; see `Origin`.

        A message that comes meanwhile is stored before or after that: before, it is refused;
        after, its step gets the state that the run has then.
        """
        if self._steps.running(origin.run_id):
            raise StoreError(
                f"Run {origin.run_id} has a step under way, and nothing was changed. Let it end, "
                f"or stop the run ('flwr stop {origin.run_id}'), then roll it back."
            )
        now = self._state.store.roll_back(origin.run_id, origin.number, describe_state)
        # The row has no step with whose reply it would be sent.
        self._steps.late_rows.written()
        with labelled(run=origin.run_id):
            logger.info(
                "Run %s has state %s again, as an operator has asked.",
                origin.run_id,
                origin.number,
            )
        return now

    def _apply_retention(self) -> None:
        for run_id in self._retention.apply(self._state.store):
            with labelled(run=run_id):
                logger.info("The state of run %s is freed.", run_id)
            self._delete_output(run_id)
        if self._output is not None:
            delete_strays(self._output, {run.run_id for run in self._state.store.runs()})

    def _delete_output(self, run_id: int) -> None:
        if self._output is not None:
            delete_output(self._output, run_id)
