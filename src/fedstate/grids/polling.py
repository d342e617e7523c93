"""A Grid that takes in replies as soon as they have come."""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from fedstate.flower.pull_backoff import patch_pull_backoff
from fedstate.grids.wrapper import GridWrapper
from fedstate.pace import Pace

# Where replies come in the answer to the wait, the SuperLink itself looks for errors meanwhile.
_TAKE_SECONDS = 20.0
# An error reply in the place of a lost node comes by the SuperLink's clock, unnotified.
_NOTIFICATION_SECONDS = 2.0

# Nodes that have like work answer at about the same time, and to take in a reply costs the
# SuperLink about as much as to receive it. So a ServerApp waits for the other replies, for a part
# of the time that the first one took.
_GATHER_SHARE = 0.15
_MAXIMUM_GATHER_SECONDS = 1.0


@runtime_checkable
class NotifiedGrid(Protocol):
    """A Grid that the SuperLink notifies of replies."""

    def wait_for_replies(self, seen: int, seconds: float, until: int = 0) -> int | None:
        """Wait until the SuperLink's count of replies is not `seen`, which is 0 at first.

        If `until` is given, wait until the count has reached it. Wait for `seconds` at most.

        Returns
        -------
        int or None
            The count now; None if the SuperLink has no notifications, and nothing was waited for.
        """


@runtime_checkable
class TakingGrid(Protocol):
    """A Grid that takes in replies in the request in which it waits for them."""

    def take_replies(
        self,
        message_ids: Collection[str],
        seconds: float,
        *,
        gather_share: float,
        gather_seconds: float,
        sent_ago: float,
    ) -> bool:
        """Wait for replies, and take those that have come; the next pull returns them.

        Parameters
        ----------
        message_ids : collection of str
            The messages.
        seconds : float
            How long to wait at most.
        gather_share, gather_seconds : float
            How long to wait for others after the first one: a part of the time that it took, and
            a bound on that.
        sent_ago : float
            How many seconds ago the messages were sent.

        Returns
        -------
        bool
            False if the SuperLink has no such route, and nothing was waited for.
        """


class PollingGrid(GridWrapper):
    """Wait for replies itself; Flower's Grid sleeps 3 s between two polls for them.

    At a SuperLink without notifications, polls follow each other at a pace that follows the work.
    `fedstate executor` gives every ServerApp a Grid that does this by itself; the wrapper is for
    ServerApps that run elsewhere. It works with every app and every strategy::

        @app.main()
        def main(grid: Grid, context: Context) -> None:
            FedAvg().start(grid=PollingGrid(grid), ...)

    Parameters
    ----------
    inner : Grid
        The Grid that the ServerApp was given, or another wrapper. Of it, only `push_messages`
        and `pull_messages` are used to send and receive: a wrapper that changes
        `send_and_receive` goes around this one, not inside.
    clock : callable
        Returns the time in seconds.
    sleep : callable
        Sleeps for a number of seconds.
    """

    def __init__(
        self,
        inner: Grid,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._sleep = sleep
        self._seen = 0

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages, and return their replies as they came.

        Parameters
        ----------
        messages : iterable of Message
            What to send.
        timeout : float, optional
            Seconds after which whatever has come is returned; without it, all replies are
            waited for.
        """
        patch_pull_backoff(self.innermost)
        # Flower's own Grid keeps the id of a message that was refused, and waits for it for ever.
        awaited = {message_id for message_id in self.push_messages(messages) if message_id}
        sent_at = self._clock()
        deadline = None if timeout is None else sent_at + timeout
        replies: list[Message] = []
        pace = Pace(clock=self._clock)
        while awaited and not (deadline is not None and self._clock() >= deadline):
            if not self._take(awaited, sent_at, deadline):
                self._wait(pace, len(awaited), sent_at, deadline)
            arrived = list(self.pull_messages(awaited))
            if arrived:
                pace.activity()
            replies += arrived
            awaited -= {reply.metadata.reply_to_message_id for reply in arrived}
        return replies

    def _take(self, awaited: set[str], sent_at: float, deadline: float | None) -> bool:
        grid = self.innermost
        return isinstance(grid, TakingGrid) and grid.take_replies(
            awaited,
            self._at_most(_TAKE_SECONDS, deadline),
            gather_share=_GATHER_SHARE,
            gather_seconds=_MAXIMUM_GATHER_SECONDS,
            sent_ago=self._clock() - sent_at,
        )

    def _wait(self, pace: Pace, awaited: int, sent_at: float, deadline: float | None) -> None:
        """Wait until it is time for the next pull."""
        # An event since the last count that was seen ends the wait at once.
        seconds = self._at_most(_NOTIFICATION_SECONDS, deadline)
        count = self._wait_for_notification(self._seen, seconds)
        if count is None:
            self._sleep(min(pace.wait(), seconds))
        elif self._seen < count < self._seen + awaited:
            taken = self._clock() - sent_at
            seconds = min(_GATHER_SHARE * taken, _MAXIMUM_GATHER_SECONDS)
            count = self._wait_for_notification(
                count, self._at_most(seconds, deadline), self._seen + awaited
            )
        self._seen = count or 0

    def _wait_for_notification(self, seen: int, seconds: float, until: int = 0) -> int | None:
        grid = self.innermost
        if not isinstance(grid, NotifiedGrid):
            return None
        return grid.wait_for_replies(seen, seconds, until)

    def _at_most(self, seconds: float, deadline: float | None) -> float:
        return seconds if deadline is None else min(seconds, max(deadline - self._clock(), 0))
