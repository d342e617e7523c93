"""Noticing tasks whose executor is gone.

A task whose process has died together with its executor reports nothing, and its token expires
after a minute. But an executor always has one request open, in which it waits for tasks and names
those that it has under way.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

# An executor sends the next request a moment after the last has ended, or a second after a
# failure; and a process that outlives its executor reports the end of its task itself.
GRACE_SECONDS = 10.0


class Presence:
    """Notices tasks that no executor names any longer.

    Parameters
    ----------
    on_lost : callable
        Called, in a thread of its own, with the IDs of such tasks, which are to be expired; tasks
        that have ended normally are among them.
    grace : float
        Seconds after which a task that no request names is lost.
    """

    def __init__(
        self, on_lost: Callable[[list[int]], None], grace: float = GRACE_SECONDS
    ) -> None:
        self._on_lost = on_lost
        self._grace = grace
        self._numbers = itertools.count()
        self._named_by: dict[int, int] = {}

    @contextmanager
    def holding(self, task_ids: Iterable[int]) -> Iterator[None]:
        """Note that an executor has these tasks, for as long as its request is open."""
        number = next(self._numbers)
        self._named_by |= dict.fromkeys(task_ids, number)
        try:
            yield
        finally:
            asyncio.get_running_loop().call_later(self._grace, self._report_lost, number)

    def _report_lost(self, number: int) -> None:
        lost = [task_id for task_id, last in self._named_by.items() if last == number]
        for task_id in lost:
            del self._named_by[task_id]
        if lost:
            # Of a server that is about to end nobody waits for it.
            with suppress(RuntimeError):
                asyncio.get_running_loop().run_in_executor(None, self._on_lost, lost)
