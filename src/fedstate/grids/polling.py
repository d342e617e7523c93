"""A Grid that takes in replies as soon as they have come."""

import time
from collections.abc import Iterable

from flwr.app import Message
from flwr.serverapp import Grid

from fedstate.flower.grid import wait_for_replies
from fedstate.flower.pull_backoff import look_again_soon
from fedstate.grids.wrapper import GridWrapper
from fedstate.pace import Pace

# An error reply in a lost node's place comes by the SuperLink's clock, and nothing tells of it.
_WAIT_SECONDS = 2.0

# Nodes that have like work answer at about the same time, and to take in a reply costs the
# SuperLink about as much as to receive it. So the others are waited for, for a part of the time
# that the first one took.
_GATHER_SHARE = 0.15
_GATHER_SECONDS = 1.0


class PollingGrid(GridWrapper):
    """Wait for replies themselves; Flower's Grid sleeps 3 s between two looks for them.

    Where the SuperLink cannot tell when a reply comes, looks follow each other at a pace that
    follows the work. `fedstate executor` gives every ServerApp a Grid that does this by itself;
    the wrapper is for ServerApps that run elsewhere. It works with every app and every strategy::

        @app.main()
        def main(grid: Grid, context: Context) -> None:
            FedAvg().start(grid=PollingGrid(grid), ...)

    Parameters
    ----------
    inner : Grid
        The Grid that the ServerApp was given, or another wrapper. Of it, only `push_messages`
        and `pull_messages` are used to send and receive: a wrapper that changes
        `send_and_receive` goes around this one, not inside.
    """

    def __init__(self, inner: Grid) -> None:
        super().__init__(inner)
        self._seen = 0
        look_again_soon()

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
        # Flower's own Grid keeps the id of a message that was refused, and waits for it for ever.
        awaited = {message_id for message_id in self.push_messages(messages) if message_id}
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        pace = Pace()
        sent_at = time.monotonic()
        while awaited:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            longest = _WAIT_SECONDS if left is None else min(_WAIT_SECONDS, left)
            # Whatever has come since the count was last seen ends the wait at once.
            count = wait_for_replies(self.innermost, self._seen, longest)
            if count is None:
                time.sleep(min(pace.wait(), longest))
            elif self._seen < count < (all_of_them := self._seen + len(awaited)):
                now = time.monotonic()
                patience = min(_GATHER_SHARE * (now - sent_at), _GATHER_SECONDS)
                if deadline is not None:
                    patience = min(patience, max(deadline - now, 0))
                count = wait_for_replies(self.innermost, count, patience, all_of_them)
            self._seen = count or 0
            arrived = list(self.pull_messages(awaited))
            if arrived:
                pace.activity()
            replies += arrived
            awaited -= {reply.metadata.reply_to_message_id for reply in arrived}
        return replies
