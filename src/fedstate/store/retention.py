"""Retention: how long the state of a finished run is kept, and how much of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedstate.store.clock import Moment, present
from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore

DAY = 24 * 60 * 60.0


@dataclass(frozen=True)
class Retention:
    """When a finished run's state is freed. A run that is still going is never touched.

    Attributes
    ----------
    seconds : float
        Time after its end for which a run's state is kept, as the node counts it: see `clock`.
    max_bytes : int, optional
        Bound on the state of all finished runs together; the first to finish goes first.
    """

    seconds: float = 7 * DAY
    max_bytes: int | None = None

    def apply(self, store: NodeStore, moment: Moment | None = None) -> list[int]:
        """Free what is past the bounds, give the space back, and return the runs that went.

        Parameters
        ----------
        store : NodeStore
            The store.
        moment : Moment, optional
            The present by default.
        """
        kept = dict(store.retained_seconds(moment or present()))
        # Those that are equal stay in the order in which they say that they have ended.
        finished = sorted(store.finished_bytes(), key=lambda each: -kept.get(each[0].run_id, 0.0))
        total = sum(size for _, size in finished)
        freed = []
        for run, size in finished:
            too_old = kept.pop(run.run_id, 0.0) >= self.seconds
            too_much = self.max_bytes is not None and total > self.max_bytes
            if too_old or too_much:
                store.free_run(run.run_id)
                freed.append(run.run_id)
                total -= size
        for stray, seconds in kept.items():
            if seconds >= self.seconds:
                store.free_stray(stray)
        if freed:
            store.compact()
        return freed


@dataclass(frozen=True)
class Choice:
    """Which runs an operator wants to be freed.

    Attributes
    ----------
    runs : sequence of str
        The first digits of their IDs.
    finished : bool
        Whether all that have ended are meant, if none is named.
    older_than : float, optional
        Only those whose end is at least so many seconds ago, as the node counts them.
    """

    runs: Sequence[str] = ()
    finished: bool = False
    older_than: float | None = None


@dataclass(frozen=True)
class Freed:
    """What was freed: the IDs of the runs, and the bytes that the disk has got back."""

    runs: list[str]
    freed_bytes: int


def free(
    store: NodeStore,
    choice: Choice,
    *,
    busy: Callable[[int], bool] = lambda _: False,
    moment: Moment | None = None,
) -> Freed:
    """Free runs that have ended or that the SuperLink does not know.

    Parameters
    ----------
    store : NodeStore
        The store.
    choice : Choice
        Which runs.
    busy : callable
        Whether a step of a run is under way.
    moment : Moment, optional
        The present by default.

    Raises
    ------
    StoreError
        The store has no such run, or it is still going; nothing was freed.
    """
    if choice.runs:
        chosen = [_named(store, name, busy) for name in choice.runs]
    else:
        kept = store.retained_seconds(moment or present())
        chosen = [
            run.run_id
            for run in store.runs()
            if run.finished_at is not None
            and not busy(run.run_id)
            and kept.get(run.run_id, 0.0) >= (choice.older_than or 0.0)
        ]
    if not chosen:
        # What else is given back meanwhile was no run's.
        return Freed([], 0)
    before = store.disk_bytes
    for run_id in dict.fromkeys(chosen):
        store.free_run(run_id)
    store.compact()
    after = store.disk_bytes
    return Freed([str(run_id) for run_id in dict.fromkeys(chosen)], max(0, before - after))


def _named(store: NodeStore, name: str, busy: Callable[[int], bool]) -> int:
    runs = {str(run.run_id): run for run in store.runs()}
    matching = (
        [runs[name]]
        if name in runs
        else [run for run_id, run in runs.items() if run_id.startswith(name)]
    )
    if not matching:
        there = ", ".join(sorted(runs)) or "none"
        raise StoreError(
            f"The node store in '{store.directory}' has no run {name}; it has {there}."
        )
    if len(matching) > 1:
        which = ", ".join(sorted(str(run.run_id) for run in matching))
        raise StoreError(f"The IDs of several runs begin with {name}: {which}. Give more digits.")
    (run,) = matching
    if run.finished_at is None and run.run_id not in store.unknown_runs():
        raise StoreError(
            f"Run {run.run_id} is still going, as far as this node knows. Stop it at the "
            f"SuperLink ('flwr stop {run.run_id}'); its state is then freed when the retention "
            "says so."
        )
    if busy(run.run_id):
        raise StoreError(
            f"A step of run {run.run_id} is under way on this node. Free the run when the step "
            "has ended."
        )
    return run.run_id
