"""A task under way, as the executor sees it."""

import base64
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import Child, ForkedChild, ForkServer

_KILL_AGAIN_SECONDS = 0.2


@dataclass
class Task:
    """One task, its process, and how far the process has come.

    Attributes
    ----------
    order
        What is to be run.
    channel
        The channel to the process.
    server
        The fork server that was asked for the process; None if it was started by itself.
    child
        The process; None while nobody knows it.
    message
        The message that the process has pulled, without its content.
    replied, finished
        Whether the process has pushed a reply, and the output.
    stop_reason
        Why the process was asked to end; None if it was not.
    over
        Whether it has ended at its server, which then expects nothing of it any longer.
    relaunched
        Whether it is the second process for the task: the first never began.
    clock
        Seconds that only grow.
    """

    order: TaskOrder
    channel: Channel
    server: ForkServer | None = None
    child: Child | None = None
    message: bytes | None = None
    replied: bool = False
    finished: bool = False
    stop_reason: str | None = None
    over: bool = False
    relaunched: bool = False
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _kill_at: float = field(init=False, default=math.inf)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def listen(self) -> None:
        """Take in the events that the process has sent."""
        for event in self.channel.receive():
            match event["event"]:
                case "started" if self.server is not None:
                    self.child = ForkedChild(self.server, event["pid"])
                case "pulled":
                    self.message = base64.b64decode(event["message"])
                case "replied":
                    self.replied = True
                case "finished":
                    self.finished = True

    def ended(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        if self.child is not None:
            return self.child.poll()
        return Ending(None) if self.channel.ended else None

    def reported(self, ending: Ending) -> bool:
        """Whether the process itself has reported to the server what came of the task."""
        if self.order.kind == TaskKind.CLIENT_APP:
            return self.finished
        # flwr's own programs send no events, but report whenever they end by their own doing.
        return ending.orderly

    def exceeds(self, seconds: float | None) -> bool:
        """Whether the task has taken longer than this; never, if it is None."""
        return seconds is not None and self.clock() - self._began > seconds

    def stop(self, reason: str, grace: float, *, over: bool = False) -> None:
        """Ask the process to end, and give it `grace` seconds before it is killed.

        A task that is over has nothing to report; it may have been asked to end before.
        """
        if self.stop_reason is None or (over and not self.over):
            self.stop_reason, self.over = reason, over
            self._kill_at = min(self._kill_at, self.clock() + grace)
            self.channel.send({"stop": reason} | ({"over": True} if over else {}))

    @property
    def kill_due_in(self) -> float:
        """How many seconds are left until the process is to be killed."""
        return self._kill_at - self.clock()

    def kill_when_due(self) -> None:
        """End the process if it was asked to end and has not."""
        if self.kill_due_in < 0:
            self._kill_at = self.clock() + _KILL_AGAIN_SECONDS  # it may not have begun yet
            if self.child:
                self.child.kill()
