"""The logs of a local federation: which there are, and each shown while somebody writes to it."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from fedstate.files import listed
from fedstate.local.process import last_lines

_NODE = re.compile(r"node-(\d+)")
# What the logs of a SuperLink, or of a node, and of its executor are called.
_OF_SUPERLINK, _OF_NODE = ("superlink", "serverapp-executor"), ("supernode-", "executor-")


def log_files(directory: Path) -> dict[str, Path]:
    """Return the logs of a federation's processes by their names; also of one that is stopped.

    Raises
    ------
    OSError
        A directory of it may not be read.
    """
    found = {}
    for home in listed(directory):
        number = _NODE.fullmatch(home.name)
        if number is None and home.name != "superlink":
            continue
        names = [each + number[1] for each in _OF_NODE] if number else _OF_SUPERLINK
        for name, place in zip(names, (home, home / "executor"), strict=True):
            if (file := place / "log") in listed(place):
                found[name] = file
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _order(name: str) -> tuple[int, int, str]:
    """Sort as they are started: the SuperLink first, a SuperNode before its executor."""
    kind, _, number = name.partition("-")
    if not number.isdecimal():
        return (0, 0 if name == "superlink" else 1, name)
    return (int(number), 0 if kind == "supernode" else 1, name)


class Followed:
    """One log.

    Parameters
    ----------
    name : str
        What its lines are called.
    file : Path
        Where it is.
    """

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self._file = file
        self._open: io.BufferedReader | None = None
        self._begun = b""

    def last(self, count: int) -> Iterator[str]:
        """Yield the last lines that are there by now; `new` goes on after them.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        self._open = self._file.open("rb")
        self._open.seek(0, os.SEEK_END)
        if count:
            yield from last_lines(self._file, count)

    def new(self) -> Iterator[str]:
        """Yield the lines that have been written since, whole ones alone."""
        yield from self._rest()
        if self._is_another():
            if self._open is not None:
                self._open.close()
            self._open = self._file.open("rb")
            yield from self._rest()

    def _rest(self) -> Iterator[str]:
        if self._open is None:
            return
        *whole, self._begun = (self._begun + self._open.read()).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)

    def _is_another(self) -> bool:
        try:
            now = self._file.stat()
        except OSError:
            return False  # between two files
        if self._open is None:
            return True
        mine = os.fstat(self._open.fileno())
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino) or (
            now.st_size < self._open.tell()
        )
