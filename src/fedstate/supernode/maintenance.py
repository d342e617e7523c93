"""What a SuperNode does beside its steps: checkpoints, ended runs, retention, lost tasks.

All of it is done by one thread, ``maintenance``, which holds no lock while it waits for the
SuperLink.
"""

import threading
import time
from collections.abc import Callable

from fedstate.flower.errors import RunStatus, SuperLinkError
from fedstate.flower.nodestate import DurableNodeState
from fedstate.logs import logger
from fedstate.store.errors import StoreFullError
from fedstate.store.node_store import StoredRun
from fedstate.store.retention import Retention
from fedstate.supernode.link import Link

STORE_SECONDS = 2.0
RUNS_SECONDS = 30.0


class Maintenance:
    """A thread that keeps the store small and notices runs that ended and tasks that are lost.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    link : Link
        The node's runs and messages at the SuperLink.
    under_way : callable
        Tells whether a step of a run, given by its ID, is running or waiting.
    retention : Retention
        How long the state of finished runs is kept.
    on_failure : callable
        Is called with an error that ends the SuperNode.
    store_seconds, runs_seconds : float
        The pauses between two looks at the store and its tasks, and at the runs.
    """

    def __init__(
        self,
        state: DurableNodeState,
        link: Link,
        retention: Retention,
        *,
        under_way: Callable[[int], bool],
        on_failure: Callable[[BaseException], None],
        store_seconds: float = STORE_SECONDS,
        runs_seconds: float = RUNS_SECONDS,
    ) -> None:
        self._state = state
        self._link = link
        self._retention = retention
        self._under_way = under_way
        self._on_failure = on_failure
        self._store_seconds = store_seconds
        self._runs_seconds = runs_seconds
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
            self._thread.join(STORE_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._store_seconds):
                try:
                    self._once()
                except StoreFullError as error:
                    logger.warning("%s", error)
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
            self._next_runs = time.monotonic() + self._runs_seconds
            self._notice_ended_runs()
            self._apply_retention()

    def _notice_ended_runs(self) -> None:
        for run in self._state.store.runs():
            if run.finished_at is not None or self._under_way(run.run_id):
                continue
            try:
                status = self._link.run_status(run.run_id)
            except SuperLinkError as error:
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
                    "Its state is kept. If the run will not go on, stop the SuperNode and free "
                    "it with: fedstate state free %s %s",
                    run.run_id,
                    store.directory,
                    run.run_id,
                )
            return
        if store.note_known(run.run_id):
            logger.info("The SuperLink knows run %s again.", run.run_id)
        if status is RunStatus.ENDED:
            logger.info("Run %s has ended.", run.run_id)
            store.finish_run(run.run_id)
            self._state.forget_run(run.run_id, run.series_id)

    def _apply_retention(self) -> None:
        for run_id in self._retention.apply(self._state.store):
            logger.info("The state of run %s is freed.", run_id)
