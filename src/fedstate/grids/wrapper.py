"""A Grid that passes everything on to another: the base of those that add something."""

from collections.abc import Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid


class GridWrapper(Grid):
    """Pass every call on to ``inner``; subclasses override what they add to.

    Parameters
    ----------
    inner : Grid
        The Grid that a ServerApp was given, or another wrapper.
    """

    def __init__(self, inner: Grid) -> None:
        self.inner = inner

    @property
    def innermost(self) -> Grid:
        """The Grid below all wrappers, which is the one that Flower gave to the ServerApp."""
        return self.inner.innermost if isinstance(self.inner, GridWrapper) else self.inner

    def set_run(self, run: Any) -> None:
        """Set the run."""
        self.inner.set_run(run)

    @property
    def run(self) -> Any:
        """The run that the ServerApp belongs to."""
        return self.inner.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message; deprecated by Flower in favour of ``Message``."""
        return self.inner.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the connected nodes."""
        return self.inner.get_node_ids()

    def get_nodes(self) -> Iterable[Any]:
        """Return the connected nodes."""
        return self.inner.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; return their ids."""
        return self.inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to messages that have arrived by now."""
        return self.inner.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and wait for their replies."""
        return self.inner.send_and_receive(messages, timeout=timeout)
