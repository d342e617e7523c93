"""A world around real `Steps` whose SuperLink hands out again what did not arrive."""

from collections.abc import Callable

from tests.unit.supernode.servers import Asked, Choose
from tests.unit.supernode.world import World


class BringingWorld(World):
    """A world whose SuperLink hands out again what the node says that it does not have."""

    def __init__(self, choose: Choose) -> None:
        self.on_their_way: set[str] = set()
        super().__init__(choose)

    def hand_out_again(self) -> None:
        """Hand out again what is not in the store; no ServerApp sees anything."""
        assert self.steps is not None
        here = set(self.steps.before_reply())
        if not self.steps._steps:  # those of the last SuperNode are about to be resumed
            here = {key for key, row in self.disk.rows.items() if row.status != "answered"}
        for message_id, asked in self.asked.items():
            if asked.at == "delivered" and asked.reply is None and message_id not in here:
                asked.at = "pending"
        self.on_their_way.clear()

    def pull(self, asked: Asked) -> None:
        """Pull a message, which may not arrive."""
        if self.faults and self.choose([False] * 3 + [True]):
            asked.at = "delivered"
            self.on_their_way.add(asked.message_id)
            return
        super().pull(asked)

    def supernode(self) -> list[Callable[[], None]]:
        """What the SuperNode may do: ask again after a request that has failed, too."""
        if self.steps is not None and self.on_their_way:
            return [self.hand_out_again]
        return super().supernode()

    def check_messages(self) -> None:
        """Check that a kill loses nothing but what is handed out again."""
        lost = [self.asked[message_id] for message_id in self.on_their_way]
        lost = [asked for asked in lost if asked.at == "delivered"]
        for asked in lost:
            asked.at = "on its way"
        super().check_messages()
        for asked in lost:
            asked.at = "delivered"

    def drain(self) -> None:
        """Stop all faults; the next request brings what did not arrive."""
        if self.steps is not None:
            self.hand_out_again()
        super().drain()
