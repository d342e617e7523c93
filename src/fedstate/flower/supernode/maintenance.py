"""What a SuperNode does beside its steps: checkpoints, ended runs, retention, lost tasks."""

import threading
import time
from collections.abc import Callable
from logging import INFO, WARNING

import httpx

# flwr's log, and what it raises for a run that has ended.
from flwr.supercore import log
from flwr.supercore.run import RunNotRunningException

from fedstate.flower.supernode.fleet import Fleet, reason_of
from fedstate.flower.supernode.nodestate import DurableNodeState
from fedstate.flower.supernode.steps import Steps
from fedstate.store.errors import StoreFullError
from fedstate.store.retention import Retention

_STORE_SECONDS = 2.0
_RUNS_SECONDS = 30.0


class Maintenance:
    """A thread that keeps the store small and notices runs that ended and tasks that are lost.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    fleet : Fleet
        The session at the SuperLink.
    steps : Steps
        The steps under way.
    retention : Retention
        How long the state of finished runs is kept.
    on_failure : callable
        Is told of an error that ends the SuperNode.
    """

    def __init__(
        self,
        state: DurableNodeState,
        fleet: Fleet,
        steps: Steps,
        retention: Retention,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._state = state
        self._fleet = fleet
        self._steps = steps
        self._retention = retention
        self._on_failure = on_failure
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._maintained = -1
        self._next_runs = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after what it is doing."""
        self._stopped.set()
        if self._thread.is_alive():
            # Not for ever: it may be waiting for a SuperLink that is away.
            self._thread.join(_STORE_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(_STORE_SECONDS):
                try:
                    self._once()
                except StoreFullError as error:
                    log(WARNING, "%s", error)
        except BaseException as error:
            self._on_failure(error)

    def _once(self) -> None:
        # Looking at tasks is what makes flwr notice those whose process is gone.
        self._state.get_tasks(task_ids=[0])
        generation = self._state.store.generation
        if generation != self._maintained:
            self._state.store.maintain()
            self._maintained = generation
        if time.monotonic() >= self._next_runs:
            self._next_runs = time.monotonic() + _RUNS_SECONDS
            self._notice_ended_runs()
            self._free()

    def _notice_ended_runs(self) -> None:
        for run in self._state.store.runs():
            if run.finished_at is not None or self._steps.running(run.run_id):
                continue
            try:
                self._fleet.run(run.run_id)
            except RunNotRunningException:
                log(INFO, "Run %s has ended.", run.run_id)
                self._state.store.finish_run(run.run_id)
                self._state.forget_run(run.run_id, run.series_id)
            except httpx.HTTPError as error:
                # A run that the SuperLink does not know might still be known to its backup.
                log(WARNING, "Run %s cannot be looked up. %s", run.run_id, reason_of(error))

    def _free(self) -> None:
        for run_id in self._retention.apply(self._state.store):
            log(INFO, "The state of run %s is freed.", run_id)
