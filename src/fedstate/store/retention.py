"""Retention: how long the state of a finished run is kept, and how much of it."""

import time
from dataclasses import dataclass

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
        if freed:
            store.compact()
        return freed
