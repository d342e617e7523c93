"""Runs pip, or another command that says much, and shows in one line what it is at.

    python requirements/progress.py TITLE COMMAND...

The line has what is being done, how many packages are done, and the time that it has taken. Where
there is no terminal, a line comes every ten seconds. What the command itself says is shown if it
fails. The standard library alone, since nothing is installed yet.
"""

import itertools
import re
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path

TICK_SECONDS = 0.5
QUIET_SECONDS = 10.0
FAILED_LINES = 30

_PIN = re.compile(r"^[\w.\[\],-]+==", re.MULTILINE)
_PACKAGE = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([\w.\[\],-]+==[^\s;]+)")
_FILE = re.compile(r"^\s+(?:Downloading|Using cached) (?:\S*/)?([^\s/]+) \((.+)\)")
_UNPACKING = re.compile(r"^Installing collected packages")


class Progress:
    """What a command is at, by the lines that it writes."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._at = ""

    def take(self, line: str) -> None:
        """Take in one line of the command."""
        if (package := _PACKAGE.match(line)) is not None:
            self._done += 1
            self._at = package[1]
        elif (file := _FILE.match(line)) is not None:
            self._at = f"{file[1]} ({file[2]})"
        elif _UNPACKING.match(line):
            self._total, self._at = 0, "unpacking"

    def line(self, seconds: float) -> str:
        """Return the line that says so."""
        count = f"{min(self._done, self._total)} of {self._total}" if self._total else ""
        parts = (self._title, clock(seconds), count, self._at)
        return "  ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def run(title: str, command: list[str]) -> int:
    """Run the command and show what it is at; return its exit code."""
    progress = Progress(title, _packages(command))
    started = shown = time.monotonic()
    said = bytearray()
    begun = b""
    window = sys.stdout.isatty()
    _show(progress.line(0), window=window)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
        selectors.DefaultSelector() as selector,
    ):
        assert process.stdout is not None  # noqa: S101
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(TICK_SECONDS):
                chunk = process.stdout.read1(65536)
                if not chunk:
                    break
                said += chunk
                *lines, begun = (begun + chunk).split(b"\n")
                for line in lines:
                    progress.take(line.decode(errors="replace"))
            now = time.monotonic()
            if window or now - shown > QUIET_SECONDS:
                shown = now
                _show(progress.line(now - started), window=window)
    if window:
        sys.stdout.write("\r\x1b[K")
    if process.returncode:
        tail = said.decode(errors="replace").splitlines()[-FAILED_LINES:]
        sys.stderr.write("\n".join(tail) + "\n")
        sys.stderr.write(f"fedstate: {title} failed; what it said last is above.\n")
    else:
        sys.stdout.write(f"{title}  {clock(time.monotonic() - started)}  done\n")
    return process.returncode


def _packages(command: list[str]) -> int:
    """Return how many packages a command installs from the lists that it names with -r."""
    lists = [after for each, after in itertools.pairwise(command) if each == "-r"]
    return sum(len(_PIN.findall(Path(each).read_text())) for each in lists)


def _show(line: str, *, window: bool) -> None:
    if window:
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write(f"\r\x1b[K{line[:width]}")
    else:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
