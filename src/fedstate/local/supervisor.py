"""Watching over a federation: what ends is started again, and what is asked for is done."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

from fedstate.errors import FederationError
from fedstate.local import orders
from fedstate.local.member import Member, State
from fedstate.local.patience import MOST, WINDOW_SECONDS, Patience

LOOK_SECONDS = 0.3

# What the end of a process means for the runs that are under way, by the beginning of its name.
_MEANING = {
    "superlink": "The runs wait for it and go on.",
    "serverapp-executor": (
        "The ServerApps that it ran have ended, and their runs fail: `flwr list` shows which."
    ),
    "supernode": "Its steps are on disk, and go on.",
    "executor": "The steps that it was at are made again where the ServerApp sends them again.",
}


class Watched(Protocol):
    """A federation, as far as it is watched over."""

    directory: Path
    members: list[Member]

    def note(self) -> None:
        """Write down what runs."""

    def bound_logs(self) -> None:
        """Keep the logs of the processes from growing without end."""


class Supervisor:
    """Keeps the processes of one federation running.

    Parameters
    ----------
    federation : Watched
        The federation, which has been started.
    say : callable
        Is told in sentences what happens.
    clock : callable
        Returns seconds, of a clock that nobody sets.
    """

    def __init__(
        self,
        federation: Watched,
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._federation = federation
        self._tell = say
        self._clock = clock
        self._patience = {member.name: Patience() for member in federation.members}
        self._due: dict[str, float] = {}
        self._unnoted = False
        self._silent = {member.name for member in federation.members}

    def run(self) -> NoReturn:
        """Watch, until the process is interrupted."""
        orders.take(self._federation.directory)  # of an earlier federation
        while True:
            self.look()
            time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Look at each process once, and do what is due."""
        names = orders.take(self._federation.directory)
        if asked := [each for each in self._federation.members if each.name in names]:
            self._restart(asked)
        for member in self._federation.members:
            self._look_at(member)
        self._federation.bound_logs()

    def _look_at(self, member: Member) -> None:
        match member.state:
            case State.STARTING | State.RUNNING if not member.process.running:
                self._ended(member, str(member.process.ending))
            case State.STARTING | State.RUNNING if member.beyond_help():
                member.process.kill()
                self._ended(member, "did not answer and was ended")
            case State.STARTING if member.works():
                member.state = State.RUNNING
                self._note()
                if member.name not in self._silent:
                    self._say(f"{member.process.name} is back, as process {member.process.pid}.")
                self._silent.discard(member.name)
            case State.WAITING if self._clock() >= self._due[member.name]:
                self._start_again(member)

    def _ended(self, member: Member, how: str) -> None:
        member.ending = how
        self._silent.discard(member.name)
        pause = self._patience[member.name].after(self._clock())
        name = member.process.name
        if pause is None:
            member.state = State.ABANDONED
            self._say(
                f"{name} {how}, for the {MOST}th time within {WINDOW_SECONDS / 60:.0f} minutes, "
                "and is left as it is: when you have seen to what ends it, "
                f"`fedstate local restart {member.name}` starts it. {member.process.log_end()}"
            )
        else:
            member.state = State.WAITING
            self._due[member.name] = self._clock() + pause
            when = f" in {pause:.0f} s" if pause else ""
            self._say(
                f"{name} {how} and is started again{when}. {_meaning(member)} "
                f"{member.process.log_end()}"
            )
        self._note()

    def _start_again(self, member: Member) -> None:
        member.restarts += 1
        try:
            member.start()
        except (FederationError, OSError) as error:
            self._ended(member, f"cannot be started ({error})")
            return
        self._note()

    def _say(self, sentence: str) -> None:
        self._tell(sentence[0].upper() + sentence[1:])

    def _note(self) -> None:
        try:
            self._federation.note()
        except OSError as error:  # a full disk is no reason to stop what runs
            if not self._unnoted:
                self._say(
                    f"What runs cannot be written down for `fedstate local status`: "
                    f"{error.strerror} in {self._federation.directory}."
                )
            self._unnoted = True
        else:
            self._unnoted = False

    def _restart(self, members: list[Member]) -> None:
        names = " and ".join(each.process.name for each in members)
        self._say(f"Asked to start {names} again.")
        for member in reversed(members):
            member.stop()
        for member in members:
            self._patience[member.name].forget()
            self._silent.discard(member.name)
            self._start_again(member)


def _meaning(member: Member) -> str:
    return next(each for name, each in _MEANING.items() if member.name.startswith(name))
