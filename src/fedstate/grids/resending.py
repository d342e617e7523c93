"""A Grid that sends a step again when the node was lost, and waits for the node with a bound.

A message that is sent again is the same message, with the same ID. A durable SuperNode that has
committed its step answers with the stored reply; it never trains twice. With a SuperNode that
forgets, sending again trains again: use it with durable nodes.
"""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from flwr.app import Message
from flwr.serverapp import Grid

from fedstate.errors import FederationError, SettingError
from fedstate.flower.errors import ErrorCode
from fedstate.grids.wrapper import GridWrapper
from fedstate.logs import logger
from fedstate.waiting import wait_until

OnLostNode = Literal["continue", "fail"]

RESEND_SECONDS = 120.0

# The message or its reply is gone, or the node is offline.
_LOST = frozenset(
    {ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_UNAVAILABLE, ErrorCode.NODE_UNAVAILABLE}
)

# A ClientApp that dies at every attempt, for want of memory say, is not helped by a fourth.
_CRASHES = 3
_POLL_SECONDS = 0.5


class ResendingGrid(GridWrapper):
    """Send a step again when its node was lost.

    Parameters
    ----------
    inner : Grid
        The ServerApp's Grid, or another wrapper.
    seconds : float
        How many seconds each `send_and_receive` waits for nodes that are away.
    on_lost : str
        What to do when a node stays away longer: ``continue`` hands its error to the strategy,
        which goes on with the other nodes; ``fail`` ends the run.

    Raises
    ------
    SettingError
        `seconds` or `on_lost` has a value that cannot be used.
    """

    def __init__(
        self,
        inner: Grid,
        *,
        seconds: float = RESEND_SECONDS,
        on_lost: OnLostNode = "continue",
    ) -> None:
        super().__init__(inner)
        if seconds < 0:
            raise SettingError(
                f"'resend-seconds' has the value {seconds}, and must not be less than 0."
            )
        if on_lost not in ("continue", "fail"):
            raise SettingError(
                f"'on-lost-node' has the value '{on_lost}', and must be 'continue' or 'fail'."
            )
        self._seconds = seconds
        self._on_lost = on_lost

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages and wait for their replies; send those of lost nodes again.

        Raises
        ------
        FederationError
            A node stayed away longer than the bound, and `on_lost` is ``fail``.
        """
        sent = list(messages)
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: dict[str, Message] = {}
        crashes: Counter[str] = Counter()
        lost, bound = self._send(sent, deadline, replies, crashes), None
        while lost:
            bound = bound or time.monotonic() + self._seconds
            if not (back := self._wait_for(lost, min(bound, deadline or bound))):
                break
            still_away = [message for message in lost if message not in back]
            lost = still_away + self._send(back, deadline, replies, crashes)
        self._report(lost)
        return [replies[_id(each)] for each in sent if _id(each) in replies]

    def _send(
        self,
        messages: list[Message],
        deadline: float | None,
        replies: dict[str, Message],
        crashes: Counter[str],
    ) -> list[Message]:
        """Send messages, put their replies into `replies`, and return the messages lost."""
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        for reply in super().send_and_receive(messages, timeout=left):
            replies[reply.metadata.reply_to_message_id] = reply
        return [each for each in messages if _is_lost(replies.get(_id(each)), crashes)]

    def _wait_for(self, messages: list[Message], until: float) -> list[Message]:
        """Return the messages whose nodes are back; wait until there is one, or the bound."""
        # Also when all are online: a node that lost a message at once might lose the next.
        time.sleep(min(_POLL_SECONDS, max(until - time.monotonic(), 0)))
        away = sorted({message.metadata.dst_node_id for message in messages})
        logger.warning("Waiting for nodes %s, to send their messages again.", away)

        def back() -> list[Message]:
            online = set(self.inner.get_node_ids())
            return [each for each in messages if each.metadata.dst_node_id in online]

        left = until - time.monotonic()
        return wait_until(back, left, poll_seconds=_POLL_SECONDS) if left > 0 else []

    def _report(self, lost: list[Message]) -> None:
        if not lost:
            return
        names = ", ".join(sorted(str(message.metadata.dst_node_id) for message in lost))
        text = (
            f"No reply from node {names} within {self._seconds:g} s after it was lost; start its "
            "SuperNode again, or set a higher 'resend-seconds'."
        )
        if self._on_lost == "fail":
            raise FederationError(text)
        logger.warning("%s The run goes on without.", text)


def _id(message: Message) -> str:
    return message.metadata.message_id


def _is_lost(reply: Message | None, crashes: Counter[str]) -> bool:
    if reply is None or not reply.has_error():
        return False
    if reply.error.code == ErrorCode.CLIENT_APP_CRASHED:
        crashes[reply.metadata.reply_to_message_id] += 1
        return crashes[reply.metadata.reply_to_message_id] < _CRASHES
    return reply.error.code in _LOST
