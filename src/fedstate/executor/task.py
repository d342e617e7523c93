"""A task under way, as the executor sees it."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fedstate.flower.task_order import TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import Child, ForkedChild, ForkServer

# What a process that has pushed its output may take to end; it ends itself 5 s after that.
_END_SECONDS = 8.0


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
    relaunched: bool = False
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _kill_at: float | None = field(init=False, default=None)

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
                    self._kill_by(_END_SECONDS)

    def ended(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        if self.child is not None:
            return self.child.poll()
        return Ending(None) if self.channel.ended else None

    def reported(self) -> bool:
        """Whether the process itself has reported to the server what came of the task."""
        return self.finished

    def exceeds(self, seconds: float | None) -> bool:
        """Whether the task has taken longer than this; never, if it is None."""
        return seconds is not None and not self.finished and self.clock() - self._began > seconds

    def stop(self, reason: str, grace: float) -> None:
        """Ask the process to end, and give it `grace` seconds before it is killed."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self._kill_by(grace)
            self.channel.send({"stop": reason})

    def _kill_by(self, seconds: float) -> None:
        due = self.clock() + seconds
        self._kill_at = due if self._kill_at is None else min(due, self._kill_at)

    def kill_when_due(self) -> None:
        """End the process if it should have ended by itself."""
        if self._kill_at is not None and self.clock() > self._kill_at and self.child:
            self.child.kill()
