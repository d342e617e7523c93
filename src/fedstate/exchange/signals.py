"""Counts of what has happened in a server, which requests wait for."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.exchange.presence import Presence

# A peer of flwr's own announces a message and then sends its objects one by one.
SOON_SECONDS = 0.2
_SLICE_SECONDS = 0.5


class Signal:
    """A count of one kind of thing, such as messages for nodes; safe to use from every thread."""

    def __init__(self) -> None:
        # Unlike every count that a server before this one gave out.
        self._count = time.time_ns()
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def count(self) -> int:
        """How often it has happened, from a number that is not 0."""
        return self._count

    def notify(self) -> None:
        """Note that it has happened, and wake whoever waits."""
        with self._lock:
            self._count += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    def notify_soon(self) -> None:
        """Note in a moment that it has happened, unless something else does before."""
        seen = self._count
        asyncio.get_running_loop().call_later(
            SOON_SECONDS, lambda: self.notify() if self._count == seen else None
        )

    async def wait(
        self,
        seen: int,
        seconds: float,
        closing: Callable[[], bool],
        gone: Callable[[], Awaitable[bool]] | None = None,
        until: int = 0,
    ) -> int:
        """Return the count when it is not `seen`, at the latest after `seconds`.

        If `until` is given, return it when it has reached that.

        A server that is closing waits for its open requests: they end when `closing` is true.
        And they end when `gone` tells that nobody waits for the answer.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not closing():
            waiter = (asyncio.get_running_loop(), asyncio.Event())
            with self._lock:
                if self._count >= until if until else self._count != seen:
                    break
                self._waiting.add(waiter)
            try:
                await asyncio.wait_for(waiter[1].wait(), min(left, _SLICE_SECONDS))
            except TimeoutError:
                if gone is not None and await gone():
                    break
            finally:
                with self._lock:
                    self._waiting.discard(waiter)
        return self._count


class Signals:
    """What can be waited for at a server.

    Parameters
    ----------
    closing : callable
        Tells whether the server is about to end.

    Attributes
    ----------
    presence : Presence or None
        Who is asked which tasks are in the hands of executors that are there; None if nobody.
    """

    def __init__(self, closing: Callable[[], bool] = lambda: False) -> None:
        self.closing = closing
        self.messages = Signal()
        self.replies = Signal()
        self.tasks = Signal()
        self.presence: Presence | None = None


class Notifier:
    """ASGI middleware that gives a signal when a request to certain paths has succeeded.

    Parameters
    ----------
    app : ASGI application
        What answers.
    notify : mapping of str to callable
        What to call, for each path.
    """

    def __init__(self, app: ASGIApp, notify: Mapping[str, Callable[[], None]]) -> None:
        self._app = app
        self._notify = notify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and give the signal once its answer has begun."""
        notify = self._notify.get(scope.get("path", ""))
        if notify is None:
            await self._app(scope, receive, send)
            return

        async def send_and_notify(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 400:
                notify()

        await self._app(scope, receive, send_and_notify)
