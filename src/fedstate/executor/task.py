"""A task under way, as the executor sees it."""

import base64
import binascii
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from fedstate.executor.import_report import ImportReport
from fedstate.executor.room_client import Room, ticks
from fedstate.flower.step_labels import step_labels
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel, MalformedMessageError
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import (
    Child,
    ForeignProcessError,
    ForkClient,
    ForkedChild,
    ForkServer,
)
from fedstate.logs import labelled

# What a process says of its app beside how far it has come, and how often at most.
_MOST_REPORTS = 2
_MOST_MESSAGES = 1000
_MOST_LETTERS = 500
# What a program of flwr's takes from its report to its end, and what a process has for its end.
_REPORTED_SECONDS = 1.0
_END_SECONDS = 5.0
_KILL_AGAIN_SECONDS = 0.2
# When a process is killed that has pushed its output; it ends itself 5 s after that.
_FINISHED_SECONDS = 8.0
# A fork takes milliseconds, but a room may import what its run imports before it forks.
_START_SECONDS = 120.0
# A fork server reaps a fork at once.
_REAP_SECONDS = 5.0


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
        What was asked for the process, a fork server or a room; None if it was started by itself.
    room
        The room of its run; None if it has none.
    child
        The process; None while nobody knows it.
    message
        The message that the process has pulled, without its content.
    replied, finished
        Whether the process has pushed a reply, and the output.
    stop_reason
        Why the process was asked to end; None if it was not.
    failure
        Why no process began, where that is known.
    violation
        What the process sent that is of no protocol: nothing that it says is believed any more.
    reports
        What the process has said of its app's imports.
    learnt
        How many of them the room has taken in.
    bare
        Why the process goes on in a bare interpreter, and whether it came from one.
    asked
        When the process was asked for, as the kernel notes it for processes that start.
    labels
        What the lines of its log are about.
    room_failure
        Why its room could not be made, if it has said so.
    over
        Whether it has ended at its server, which then expects nothing of it any longer.
    relaunched
        Whether it is the second process for the task: the first never began.
    clock
        Seconds that only grow.
    """

    order: TaskOrder
    channel: Channel
    server: ForkClient | None = None
    room: Room | None = None
    child: Child | None = None
    message: bytes | None = None
    replied: bool = False
    finished: bool = False
    stop_reason: str | None = None
    failure: OSError | None = None
    violation: str | None = None
    reports: list[ImportReport] = field(default_factory=list)
    learnt: int = 0
    bare: list[tuple[str, bool]] = field(default_factory=list)
    asked: int = field(default_factory=ticks)
    labels: dict[str, str] = field(default_factory=dict)
    room_failure: str | None = None
    over: bool = False
    relaunched: bool = False
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _ask_at: float = field(init=False, default=math.inf)
    _kill_at: float = field(init=False, default=math.inf)
    _gone: float = field(init=False, default=math.inf)
    _messages: int = field(init=False, default=0)
    _started: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def pid(self) -> int | None:
        """The process, once it is known."""
        return None if self.child is None else self.child.pid

    @property
    def seconds(self) -> float:
        """How long ago the process was asked for."""
        return self.clock() - self._began

    def listen(self) -> None:
        """Take in the events that the process has sent; the app may have sent some of them."""
        try:
            for event in self.channel.receive():
                self._messages += 1
                if self._messages > _MOST_MESSAGES:
                    raise MalformedMessageError(f"more than {_MOST_MESSAGES} messages")
                self._take(event)
        except ForeignProcessError as error:
            self.violation = f"the process ID {error}, which is none of its run's"
        except MalformedMessageError as error:
            self.violation = str(error)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            self.violation = "an event of a form that it does not have"
        if self.violation is not None:
            self.channel.ended = True

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "started" if not self._started:
                self._started = True
                if self.server is not None:
                    self.child = ForkedChild(self.server, int(event["pid"]), self._is_its_fork)
            case "unforked" if not self._started:
                self.failure = OSError(int(event["errno"]), "the process cannot be forked")
            case "begun":
                # The first one is said before any code of the app runs.
                self.labels = self.labels or {"node": str(int(event["node"]))}
            case "pulled" if self.message is None:
                self.message = _decoded(event["message"])
                self.labels = {**self.labels, **step_labels(self.message)}
            case "replied" if not self.replied:
                self.replied = True
            case "finished" if not self.finished:
                self.finished = True
                self._kill_at = min(self._kill_at, self.clock() + _FINISHED_SECONDS)
            case "imported" if len(self.reports) < _MOST_REPORTS:
                self.reports.append(ImportReport.from_json(event))
            case "bare" if len(self.bare) < _MOST_REPORTS:
                self.bare.append((_sentence(event["reason"]), event["cold"] is True))
            case _:
                raise MalformedMessageError("an event that is out of turn, or none at all")

    def _is_its_fork(self, pid: int) -> bool:
        if self.room is not None:
            return self.room.holds(pid)
        return not isinstance(self.server, ForkServer) or self.server.has_forked(pid)

    def ended(self) -> Ending | None:
        """Return how the process ended; None while it lives."""
        if self.child is not None:
            return self.child.poll()
        return Ending(None) if self.channel.ended else None

    def labelled(self) -> AbstractContextManager[None]:
        """Label the lines that are logged in a block with what the task is about."""
        given = {**self.labels, "run": self.order.run_id}
        return labelled(**given)  # type: ignore[arg-type]

    def stuck(self) -> bool:
        """Return whether nobody forks the process, or nobody says how it has ended."""
        if self.room is not None and self.room.client is not None and self.room.client.busy:
            return False
        if self.child is None:
            return self.exceeds(_START_SECONDS)
        # Its channel may be open all the same: a room that is stopped has a copy of it.
        if not self.child.gone:
            return False
        self._gone = min(self._gone, self.clock())
        return self.clock() - self._gone > _REAP_SECONDS

    def reported(self) -> bool:
        """Whether the process itself has reported to the server what came of the task."""
        return self.finished

    def exceeds(self, seconds: float | None) -> bool:
        """Whether the task has taken longer than this; never, if it is None."""
        return seconds is not None and not self.finished and self.seconds > seconds

    def why(self, ending: Ending) -> str:
        """Return the reason for which the task has failed, in a sentence."""
        if self.stop_reason is not None:
            return self.stop_reason
        if self.failure is not None and self.room is not None:
            hint = self.room.plan.limits.hint(self.failure) or ""
            return (
                f"The process of the task could not be started ({self.failure}). {hint}".strip()
            )
        return self.room_failure or f"The process of the task {ending}."

    def stop(self, reason: str, grace: float, *, over: bool = False) -> None:
        """Ask the process to end, and give it `grace` seconds before it is killed.

        A task that is over has nothing to report; it may have been asked to end before. One that
        ends by itself is left alone: its server says that it is over as soon as it has reported.
        """
        if self.stop_reason is not None and (self.over or not over):
            return
        patience = 0.0
        if over and self.finished:
            patience = grace = _END_SECONDS
        elif over and self.order.kind != TaskKind.CLIENT_APP:
            patience = _REPORTED_SECONDS
        self.stop_reason, self.over = reason, over
        self._ask_at = self.clock() + patience
        self._kill_at = min(self._kill_at, self.clock() + patience + grace)
        self._ask_when_due()

    def end(self, reason: str) -> None:
        """Kill the process, for this reason."""
        self.stop_reason = self.stop_reason or reason
        if self.child is not None:
            self.child.kill()

    @property
    def kill_due_in(self) -> float:
        """How many seconds are left until the process is to be asked to end, or killed."""
        return min(self._ask_at, self._kill_at) - self.clock()

    def kill_when_due(self) -> None:
        """End the process if it was asked to end and has not; ask it if that is due."""
        self._ask_when_due()
        if self._kill_at < self.clock():
            self._kill_at = self.clock() + _KILL_AGAIN_SECONDS  # it may not have begun yet
            if self.child is not None:
                self.child.kill()

    def _ask_when_due(self) -> None:
        if self._ask_at <= self.clock():
            self._ask_at = math.inf
            over = {"over": True} if self.over else {}
            self.channel.send({"stop": self.stop_reason} | over)


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise MalformedMessageError("a message that is no text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessageError("a message that is not in base 64") from None


def _sentence(text: object) -> str:
    if not isinstance(text, str) or len(text) > _MOST_LETTERS or not text.isprintable():
        raise MalformedMessageError("a reason that is no sentence")
    return text
