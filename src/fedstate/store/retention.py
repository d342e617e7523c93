"""Retention: how long the state of a finished run is kept, and how much of it."""

import time
from dataclasses import dataclass

from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore

DAY = 24 * 60 * 60.0


@dataclass(frozen=True)
class Retention:
    """When a finished run's state is freed. A run that is still going is never touched.

    Attributes
    ----------
    seconds : float
        Time after its end for which a run's state is kept.
    max_bytes : int, optional
        Bound on the state of all finished runs together; the first to finish goes first.
    """

    seconds: float = 7 * DAY
    max_bytes: int | None = None

    def apply(self, store: NodeStore, now: float | None = None) -> list[int]:
        """Free what is past the bounds, give the space back, and return the runs that went.

        Parameters
        ----------
        store : NodeStore
            The store.
        now : float, optional
            Unix time; the present by default.
        """
        now = time.time() if now is None else now
        finished = list(store.finished_bytes())
        total = sum(size for _, size in finished)
        freed = []
        for run, size in finished:
            too_old = now - (run.finished_at or now) >= self.seconds
            too_much = self.max_bytes is not None and total > self.max_bytes
            if too_old or too_much:
                store.free_run(run.run_id)
                freed.append(run.run_id)
                total -= size
        store.free_strays(now - self.seconds)
        if freed:
            store.compact()
        return freed


def free_by_name(store: NodeStore, run_id: int) -> int:
    """Free a run that has ended or that the SuperLink does not know.

    Returns
    -------
    int
        The bytes of the database that were given back.

    Raises
    ------
    StoreError
        The store has no such run, or it is still going.
    """
    runs = {run.run_id: run for run in store.runs()}
    unknown = store.unknown_runs()
    if run_id not in runs:
        there = ", ".join(str(each) for each in sorted(runs)) or "none"
        raise StoreError(
            f"The node store in '{store.directory}' has no run {run_id}; it has {there}."
        )
    if runs[run_id].finished_at is None and run_id not in unknown:
        raise StoreError(
            f"Run {run_id} is still going, as far as this node knows. Stop it at the SuperLink "
            f"('flwr stop {run_id}'); its state is then freed when the retention says so."
        )
    before = store.path.stat().st_size
    store.free_run(run_id)
    store.compact()
    return before - store.path.stat().st_size
