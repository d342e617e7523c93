"""One process of a federation and how it is: what `fedstate local` watches over and shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from fedstate.errors import FederationError
from fedstate.executor.heartbeat import check_executor, is_beyond_help
from fedstate.health import check_health
from fedstate.local.ports import LOOPBACK
from fedstate.local.process import Process
from fedstate.process_table import living

_HEARTBEAT_OPTION = "--heartbeat-file"


class State(StrEnum):
    """What is being done with a process."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Recorded:
    """A process as its federation has written it down.

    Attributes
    ----------
    name : str
        What commands call it: ``superlink``, ``serverapp-executor``, ``supernode-2``,
        ``executor-2``.
    title : str
        What sentences call it.
    pid, started : int
        Its process ID, and the kernel's ticks at its start, which tell it from a later process
        with that ID; 0 before it was started.
    since : str
        When it was started, in ISO 8601.
    restarts : int
        How often it has been started again.
    state : State
        What is being done with it.
    ending : str
        How it ended last; empty if it has not.
    address : str, optional
        The API that it serves; None for an executor, which serves none.
    heartbeat : str, optional
        The file that says when an executor has worked last.
    log : str
        Its log file.
    root_certificates : str
        The authority of its federation.
    """

    name: str
    title: str
    pid: int
    started: int
    since: str
    restarts: int
    state: State
    ending: str
    address: str | None
    heartbeat: str | None
    log: str
    root_certificates: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `as_json` of its member has written."""
        return cls(**{**content, "state": State(content["state"])})

    @property
    def alive(self) -> bool:
        """Whether the very process that was written down is there."""
        process = living(self.pid) if self.pid else None
        return process is not None and process.started == self.started

    def problem(self) -> str | None:
        """Return in a sentence why it is not well; None if it is."""
        match self.state:
            case State.STARTING:
                return "It is starting."
            case State.WAITING:
                return f"It {self.ending}, and is started again."
            case State.ABANDONED:
                return (
                    f"It {self.ending}, several times in a row, and is left as it is: "
                    f"`fedstate local restart {self.name}` starts it."
                )
            case _ if not self.pid:
                return "It is not started yet."
            case _ if not self.alive:
                return "It has ended."
        try:
            if self.address is not None:
                check_health(self.address, Path(self.root_certificates))
            elif self.heartbeat is not None:
                check_executor(Path(self.heartbeat))
        except FederationError as error:
            return str(error)
        return None


@dataclass
class Member:
    """A process of a federation that runs here.

    Parameters
    ----------
    name : str
        What commands call it.
    process : Process
        The process.
    root_certificates : Path
        The authority of its federation.
    port : int, optional
        Where it serves its API; None for an executor, which serves none.
    """

    name: str
    process: Process
    root_certificates: Path
    port: int | None = None
    state: State = field(default=State.STOPPED, init=False)
    restarts: int = field(default=0, init=False)
    ending: str = field(default="", init=False)
    since: datetime | None = field(default=None, init=False)

    @property
    def heartbeat(self) -> Path | None:
        """The file that says when an executor of ours has worked last."""
        command = self.process.command
        if _HEARTBEAT_OPTION not in command:
            return None
        return Path(command[command.index(_HEARTBEAT_OPTION) + 1])

    def start(self) -> None:
        """Start the process; what is left of the one before it is ended.

        Raises
        ------
        FederationError, OSError
            If it cannot be started.
        """
        self.process.kill()
        if self.heartbeat is not None:
            self.heartbeat.unlink(missing_ok=True)  # what it says is of another process
        self.since = datetime.now(UTC)
        self.process.start()
        self.state = State.STARTING

    def stop(self) -> None:
        """Stop the process: asked first, made to after 15 s."""
        self.process.stop()
        self.state = State.STOPPED

    def works(self) -> bool:
        """Return whether it does what it is there for."""
        if self.port is not None:
            return self.process.answers(self.port, self.root_certificates)
        if self.heartbeat is None:
            return self.process.running
        try:
            check_executor(self.heartbeat)
        except FederationError:
            return False
        return True

    def beyond_help(self) -> bool:
        """Return whether an executor is silent, and nothing is left that would start it again.

        The process that watches over an executor starts it again by itself. This is for the case
        that both of them were stopped.
        """
        return self.heartbeat is not None and is_beyond_help(self.heartbeat)

    def as_json(self) -> dict[str, Any]:
        """Return what `Recorded` reads."""
        pid = self.process.pid if self.since is not None else 0
        process = living(pid) if pid else None
        return {
            "name": self.name,
            "title": self.process.name,
            "pid": pid,
            "started": process.started if process else 0,
            "since": self.since.isoformat(timespec="seconds") if self.since else "",
            "restarts": self.restarts,
            "state": self.state,
            "ending": self.ending,
            "address": f"{LOOPBACK}:{self.port}" if self.port is not None else None,
            "heartbeat": str(self.heartbeat) if self.heartbeat else None,
            "log": str(self.process.log_file),
            "root_certificates": str(self.root_certificates),
        }
