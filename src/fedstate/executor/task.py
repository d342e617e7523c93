"""A task under way, as the executor sees it."""

import base64
import time
from dataclasses import dataclass, field

from flwr.proto.message_pb2 import Message as MessageProto
from flwr.supercore.constant import TaskType
from flwr.supercore.superexec.executor.types import ExecutionSpec

from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import Child, ForkedChild, ForkServer


@dataclass
class Task:
    """One task, its process, and how far the process has come."""

    spec: ExecutionSpec
    channel: Channel
    server: ForkServer | None
    child: Child | None = None
    message: MessageProto | None = None
    replied: bool = False
    finished: bool = False
    stopping: str | None = None
    again: bool = False
    began: float = field(default_factory=time.monotonic)
    kill_at: float | None = None

    def listen(self) -> None:
        """Take in what the process has said."""
        for event in self.channel.receive():
            match event["event"]:
                case "started" if self.server is not None:
                    self.child = ForkedChild(self.server, event["pid"])
                case "pulled":
                    self.message = MessageProto.FromString(base64.b64decode(event["message"]))
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
        """Whether the process itself has told the server what came of the task."""
        if self.spec.task_type == TaskType.CLIENT_APP:
            return self.finished
        # flwr's own programs say nothing here, but report whenever they end by their own doing.
        return ending.orderly

    def stop(self, reason: str, grace: float) -> None:
        """Ask the process to end, and give it `grace` seconds before it is killed."""
        if self.stopping is None:
            self.stopping = reason
            self.kill_at = time.monotonic() + grace
            self.channel.send({"stop": reason})

    def kill_when_due(self) -> None:
        """End the process if it was asked to end and has not."""
        if self.kill_at is not None and time.monotonic() > self.kill_at and self.child:
            self.child.kill()
