"""How a program is started, from nothing, and what is known of one that was."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Started(Protocol):
    """A running program, as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def returncode(self) -> int | None:
        """What `poll` has returned last."""

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of a signal; None while it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for that, or raise `subprocess.TimeoutExpired`."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""


Start = Callable[[Sequence[str], Mapping[str, str], Path], Started]


def execute(command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> Started:
    """Start any program, from nothing; its output is appended to the log file.

    It has a session of its own: Ctrl-C in the terminal is for whoever runs the federation, and
    who then stops its processes in order.
    """
    with log_file.open("ab") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
