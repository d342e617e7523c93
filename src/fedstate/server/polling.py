"""A Grid that takes in replies soon after they have come."""

import time
from collections.abc import Iterable

from flwr.app import Message
from flwr.serverapp import Grid

from fedstate.flower.objects import look_again_soon
from fedstate.pace import Pace
from fedstate.server.wrapper import GridWrapper


class PollingGrid(GridWrapper):
    """Look for replies at a pace that follows the work; Flower's Grid sleeps 3 s between looks.

    It works with every app and every strategy::

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
        while awaited:
            arrived = list(self.pull_messages(awaited))
            if arrived:
                pace.activity()
                replies += arrived
                awaited -= {reply.metadata.reply_to_message_id for reply in arrived}
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            time.sleep(pace.wait() if left is None else min(pace.wait(), left))
        return replies
