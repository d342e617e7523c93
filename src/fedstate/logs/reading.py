"""Reading a run's output: from files of several nodes, or from commands, in the order of time."""

import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from fedstate.errors import FederationError
from fedstate.logs.lines import Line, parse_line
from fedstate.logs.run_files import outputs_in

POLL_SECONDS = 0.2
# An app may be silent for long; whose executor was killed for good is so for ever.
SILENT_SECONDS = 60.0
_READ_BYTES = 1024**2


class Source(Protocol):
    """Where lines of a run come from; a `Reader` is one."""

    @property
    def begun(self) -> bool:
        """Whether there is anything to read."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""

    def read(self) -> Iterator[Line]:
        """Yield what has come since the last call."""

    def close(self) -> None:
        """Read no more."""


class CommandSource:
    """The lines that a command prints as JSON, such as `fedstate logs` in a container.

    Parameters
    ----------
    command : sequence of str
        The command.

    Raises
    ------
    FederationError
        It cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise FederationError(f"'{command[0]}' cannot be run ({error.strerror}).") from None
        self._pipes = [
            pipe.fileno() for pipe in (self._process.stdout, self._process.stderr) if pipe
        ]
        for pipe in self._pipes:
            os.set_blocking(pipe, False)
        self._partial = b""
        self._said = b""
        self.begun = False
        self.ended = False

    @property
    def problem(self) -> str:
        """What the command has said of its failure; empty if it has not failed."""
        failed = self.ended and self._process.returncode != 0
        return self._said.decode(errors="replace").strip() if failed else ""

    def read(self) -> Iterator[Line]:
        """Yield the lines that have come since the last call."""
        ended = self._process.poll() is not None  # before its last words are read
        *whole, self._partial = (self._partial + _read_all(self._pipes[0])).split(b"\n")
        self._said += _read_all(self._pipes[1])
        for each in whole:
            if (line := parse_line(each.decode(errors="replace"))) is not None:
                self.begun = True
                yield line
        self.ended = ended

    def close(self) -> None:
        """End the command."""
        self._process.terminate()
        self._process.communicate()


def _read_all(pipe: int) -> bytes:
    content = b""
    while True:
        try:
            data = os.read(pipe, _READ_BYTES)
        except BlockingIOError:
            return content
        if not data:
            return content
        content += data


def lines_of(
    sources: Collection[Source],
    *,
    follow: bool = False,
    sleep: Callable[[float], object] = time.sleep,
    silent: Callable[[], object] = lambda: None,
) -> Iterator[Line]:
    """Yield the lines of a run from all of its sources, by their times.

    Parameters
    ----------
    sources : collection of Source
        Where they come from; they are closed at the end.
    follow : bool
        Whether to wait for more, until the run has ended.
    sleep : callable
        Waits some seconds.
    silent : callable
        Is called when nothing has come for `SILENT_SECONDS`, once until something comes.
    """
    waited = 0
    try:
        while True:
            new = [line for source in sources for line in source.read()]
            waited = 0 if new else waited + 1
            if waited == round(SILENT_SECONDS / POLL_SECONDS):
                silent()
            yield from sorted(new, key=lambda line: line.time)
            begun = [source for source in sources if source.begun]
            if not follow or (begun and all(source.ended for source in begun)):
                return
            if all(source.ended for source in sources):
                return
            sleep(POLL_SECONDS)
    finally:
        for source in sources:
            source.close()


def collected(
    sources: Collection[CommandSource], sleep: Callable[[float], object] = time.sleep
) -> list[Line]:
    """Return all lines of commands that end by themselves, by their times."""
    lines: list[Line] = []
    try:
        while True:
            lines += [line for source in sources for line in source.read()]
            if all(source.ended for source in sources):
                return sorted(lines, key=lambda line: line.time)
            sleep(POLL_SECONDS)
    finally:
        for source in sources:
            source.close()


def run_named(prefix: str, directories: Collection[Path]) -> int:
    """Return the run whose ID begins with these digits.

    Parameters
    ----------
    prefix : str
        The first digits of its ID, or all of them.
    directories : collection of Path
        Where output is looked for.

    Raises
    ------
    FederationError
        No run with output here has such an ID, or several have.
    """
    there = sorted({run_id for each in directories for run_id in outputs_in(each)})
    found = [run_id for run_id in there if str(run_id).startswith(prefix)]
    if prefix.isdecimal() and int(prefix) in found:
        return int(prefix)
    if len(found) == 1 and prefix:
        return found[0]
    shown = ", ".join(map(str, found or there)) or "none"
    if len(found) > 1:
        raise FederationError(f"Several runs begin with '{prefix}': {shown}. Give more digits.")
    where = f"in '{next(iter(directories))}'" if len(directories) == 1 else "here"
    raise FederationError(
        f"There is no output {where} of a run that begins with '{prefix}'; there is of: {shown}."
    )
