"""Push notification: counts of what has happened in a server, on which requests wait."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.exchange.ends import Ask, Ends
from fedstate.exchange.presence import Presence

# A client of flwr's own announces a message and then sends its objects one by one; a notification
# for the announcement alone comes this much later.
SOON_SECONDS = 0.2

# A count that no signal reaches: for who waits for something else.
NEVER = 2**64

# How often a waiting request looks whether there is another reason to answer, though nothing was
# notified.
_LOOK_SECONDS = 5.0


class Signal:
    """A count of one kind of event, such as messages for nodes; safe to use from every thread."""

    def __init__(self) -> None:
        # Not a count that the server gave out before a restart: a client that has seen one of
        # those is answered at once.
        self._count = time.time_ns()
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def count(self) -> int:
        """The number of events so far, counted from a number that is not 0."""
        return self._count

    def notify(self) -> None:
        """Count an event, and wake all requests that wait."""
        with self._lock:
            self._count += 1
            waiting, self._waiting = self._waiting, set()
        self._set(waiting)

    def wake(self) -> None:
        """Let all requests that wait look again, without an event."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        self._set(waiting)

    @staticmethod
    def _set(waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    def notify_soon(self) -> None:
        """Count an event after `SOON_SECONDS`, unless another is counted before."""
        seen = self._count
        asyncio.get_running_loop().call_later(
            SOON_SECONDS, lambda: self.notify() if self._count == seen else None
        )

    async def wait(
        self,
        seen: int,
        seconds: float,
        closing: Callable[[], bool],
        disconnected: Callable[[], Awaitable[None]] | None = None,
        until: int = 0,
        over: Callable[[], Awaitable[bool]] | None = None,
    ) -> int:
        """Wait for an event.

        Parameters
        ----------
        seen
            The count that the client knows; another count ends the wait.
        seconds
            How long to wait at most.
        closing
            Returns whether the server is about to end, which waits for its open requests; it is
            asked whenever the requests that wait are woken.
        disconnected
            Returns when the client has disconnected.
        until
            If given, the wait ends when this count is reached, whatever `seen` is.
        over
            Returns whether there is another reason to answer; it is asked first, whenever the
            requests that wait are woken, and now and then.

        Returns
        -------
        int
            The count now.
        """
        if disconnected is None:
            return await self._wait(seen, seconds, closing, until, over)
        wait = asyncio.ensure_future(self._wait(seen, seconds, closing, until, over))
        gone = asyncio.ensure_future(disconnected())
        try:
            await asyncio.wait({wait, gone}, return_when=asyncio.FIRST_COMPLETED)
            return wait.result() if wait.done() else self._count
        finally:
            for each in (wait, gone):
                each.cancel()
            await asyncio.wait({wait, gone})

    async def _wait(
        self,
        seen: int,
        seconds: float,
        closing: Callable[[], bool],
        until: int,
        over: Callable[[], Awaitable[bool]] | None,
    ) -> int:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not closing():
            waiter = (asyncio.get_running_loop(), asyncio.Event())
            with self._lock:
                if self._count >= until if until else self._count != seen:
                    break
                self._waiting.add(waiter)
            try:
                # Only now: what happens from here on wakes this request.
                if over is not None and await over():
                    break
                longest = left if over is None else min(left, _LOOK_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waiter[1].wait(), longest)
            finally:
                with self._lock:
                    self._waiting.discard(waiter)
        return self._count


class Signals:
    """The notifications that a server gives.

    Parameters
    ----------
    closing : callable
        Returns whether the server is about to end; `wake` is to be called when it is.

    Attributes
    ----------
    messages : Signal
        Messages for nodes.
    replies : Signal
        Replies for ServerApps.
    objects : Signal
        Objects that were still to come.
    tasks : Signal
        Tasks for executors.
    presence : Presence or None
        Notices tasks whose executor is gone; None if the server does not.
    ends : Ends or None
        Which tasks and runs have ended; None if the server does not tell.
    tells_all_tasks : bool
        Whether `tasks` counts every task that there is to take.
    """

    def __init__(self, closing: Callable[[], bool] = lambda: False) -> None:
        self.closing = closing
        self.messages = Signal()
        self.replies = Signal()
        self.objects = Signal()
        self.tasks = Signal()
        self.presence: Presence | None = None
        self.ends: Ends | None = None
        self.tells_all_tasks = False

    def wake(self) -> None:
        """Let all requests that wait look again: the server is about to end."""
        for each in (self.messages, self.replies, self.objects, self.tasks):
            each.wake()

    def tell_ends(self, tasks: Ask, runs: Ask, *, again_seconds: float | None = None) -> Ends:
        """Tell who waits for messages or tasks what has ended; see `Ends`."""

        def wake() -> None:
            self.messages.wake()
            self.tasks.wake()

        self.ends = Ends(tasks, runs, wake, again_seconds=again_seconds)
        return self.ends


class Notifier:
    """ASGI middleware that notifies when a request to certain paths has succeeded.

    Parameters
    ----------
    app : ASGI application
        The application that answers the requests.
    notify : mapping of str to callable
        The function to call, for each path.
    """

    def __init__(self, app: ASGIApp, notify: Mapping[str, Callable[[], None]]) -> None:
        self._app = app
        self._notify = notify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and notify once its answer has begun."""
        notify = self._notify.get(scope.get("path", ""))
        if notify is None:
            await self._app(scope, receive, send)
            return

        async def send_and_notify(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 400:
                notify()

        await self._app(scope, receive, send_and_notify)
