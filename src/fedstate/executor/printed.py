"""The lines that a run's programs print: labelled, for the log and for the run's file."""

import contextlib
import os
import re
import time
from collections.abc import Mapping, Sequence

from fedstate.logs.lines import LEVELS, Line, visible
from fedstate.logs.run_files import RunFile
from fedstate.logs.setup import written

_STANDARD_ERROR = 2
# As Flower's logger writes to the console of a task's process.
_FLOWER = re.compile(rf"(?P<level>{'|'.join(LEVELS)}) (?:\S+ \S+)?: {{2,}}(?P<text>.*)")
_TRACEBACK = "Traceback (most recent call last)"


class Printed:
    """What becomes of the lines that one run prints here.

    Parameters
    ----------
    run_id : int
        The run.
    component : str
        What prints: ``clientapp`` or ``serverapp``.
    file : RunFile, optional
        The run's file; None for none.
    logged : bool
        Whether the executor's log has the lines, too.
    """

    def __init__(
        self, run_id: int, component: str, file: RunFile | None = None, *, logged: bool = True
    ) -> None:
        self._run = {"run": str(run_id)}
        self._component = component
        self._file = file
        self._logged = logged
        self._task_id: int | None = None
        self._labels: Mapping[str, str] = {}
        self._node: Mapping[str, str] = {}
        self._in_traceback = False

    @property
    def has_file(self) -> bool:
        """Whether the lines are kept in a file."""
        return self._file is not None

    def begin(self, task_id: int) -> None:
        """Note that a task begins; of what step it is comes with its message."""
        self._task_id, self._labels = task_id, {}

    def label(self, task_id: int, labels: Mapping[str, str]) -> None:
        """Label what follows; only for the task that has begun last."""
        if task_id == self._task_id:
            self._labels = labels
        if "node" in labels:
            self._node = {"node": labels["node"]}

    def take(self, lines: Sequence[bytes]) -> None:
        """Write lines that the run has printed."""
        now = time.time()
        labels = {**self._run, **self._node, **self._labels, **self._run}
        self._write([self._line(now, each, labels) for each in lines])

    def note(self, text: str) -> None:
        """Write a line of the executor's own about what the run prints."""
        labels = {**self._run, **self._node, **self._labels, **self._run}
        self._write([Line(time.time(), "WARNING", "executor", text, labels)])

    def end(self, *, run_ended: bool) -> None:
        """Close the file, and note in it if the run has ended."""
        if self._file is not None:
            if run_ended:
                self._file.end()
            self._file.close()

    def _line(self, now: float, printed: bytes, labels: Mapping[str, str]) -> Line:
        # Of a line that is overwritten again and again, such as a bar, a terminal shows the last.
        text = printed.decode(errors="backslashreplace").rstrip("\r").rpartition("\r")[2]
        text, level = visible(text), "INFO"
        if (match := _FLOWER.fullmatch(text)) is not None:
            text, level = match["text"], match["level"]
            self._in_traceback = False
        elif _TRACEBACK in text:
            self._in_traceback = True
        if self._in_traceback:
            level = "ERROR"
            self._in_traceback = _TRACEBACK in text or not text or text[0] in " \t"
        return Line(now, level, self._component, text, labels)

    def _write(self, lines: Sequence[Line]) -> None:
        if self._file is not None:
            self._file.write(lines)
        if self._logged:
            _print("".join(f"{written(each)}\n" for each in lines).encode())


def _print(data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(OSError):  # nobody is there to read it
        while left:
            left = left[os.write(_STANDARD_ERROR, left) :]
