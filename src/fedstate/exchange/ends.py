"""Telling clients which of the tasks and runs that they name have ended.

A run ends in the SuperLink: it is stopped, its ServerApp ends, or the ServerApp's token expires.
Its nodes, and the executors on them, name what they have of it in the request in which they wait
anyway, and are answered at once. What is known to go on is asked for again only when something
has ended: a wait costs no query, however many runs there are.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable

# Returns those of the given IDs whose task or run has ended; on a thread, since it may take long.
Ask = Callable[[list[int]], Iterable[int]]

# More than anybody has under way; beyond them what is known is asked for again.
_KNOWN = 10_000


class Ends:
    """What has ended in a server.

    `notify` may be called on every thread, everything else on the server's event loop.

    Parameters
    ----------
    tasks : callable
        Returns which tasks have ended, except for those whose process has reported it itself: it
        is left to end in its own time.
    runs : callable
        Returns which runs have ended.
    wake : callable
        Wakes the requests that wait, so that they look again.
    again_seconds : float, optional
        After this time is asked again without a notification; None for never.
    """

    def __init__(
        self,
        tasks: Ask,
        runs: Ask,
        wake: Callable[[], None] = lambda: None,
        *,
        again_seconds: float | None = None,
    ) -> None:
        self._tasks = _Kind(tasks)
        self._runs = _Kind(runs)
        self._wake = wake
        self._again_seconds = again_seconds
        self._lock = threading.Lock()
        # As the count of a signal: not one that the server gave out before a restart.
        self._count = time.time_ns()
        self._asked_at = time.monotonic()

    @property
    def count(self) -> int:
        """A count of the notifications, which is not 0."""
        return self._count

    def notify(self) -> None:
        """Say that something may have ended."""
        with self._lock:
            self._count += 1
        self._wake()

    async def among(
        self, task_ids: Iterable[int], run_ids: Iterable[int]
    ) -> tuple[list[int], list[int]]:
        """Return those of the given tasks, and of the given runs, that have ended."""
        version = self._version()
        tasks = await self._tasks.among(task_ids, version)
        return tasks, await self._runs.among(run_ids, version)

    def _version(self) -> tuple[int, float]:
        now = time.monotonic()
        if self._again_seconds is not None and now - self._asked_at > self._again_seconds:
            self._asked_at = now
        return self._count, self._asked_at


class _Kind:
    """Tasks, or runs: which of them are known to have ended, or to go on for now."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._ended: set[int] = set()
        self._going: set[int] = set()
        self._version: tuple[int, float] | None = None
        # Many requests are woken at once: the first asks, and the others know then.
        self._asking = asyncio.Lock()

    async def among(self, ids: Iterable[int], version: tuple[int, float]) -> list[int]:
        """Return those that have ended; `version` changes whenever one may have."""
        named = list(ids)
        if self._unknown(named, version):
            async with self._asking:
                if unknown := self._unknown(named, version):
                    ended = set(await asyncio.to_thread(self._ask, unknown))
                    if len(self._ended) > _KNOWN:
                        self._ended.clear()
                    self._ended |= ended
                    # Should the version have changed meanwhile, this is forgotten again.
                    self._going |= set(unknown) - ended
        return [each for each in named if each in self._ended]

    def _unknown(self, named: list[int], version: tuple[int, float]) -> list[int]:
        if version != self._version or len(self._going) > _KNOWN:
            self._going, self._version = set(), version
        return [each for each in named if each not in self._going and each not in self._ended]
