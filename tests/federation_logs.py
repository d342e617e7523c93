"""A test fails on an unexpected error in any log of the federations that it used.

Logs are files named ``log`` below pytest's temporary directory. What a test expects to find there
it says with ``@pytest.mark.allowed_errors("regular expression", ...)``; it stays allowed in the
logs of the same federation, which other tests share and which may be written a moment late.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedstate.logs import parse_line

MARKER = "allowed_errors"

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"(ERROR|CRITICAL)\b")
_TRACEBACK = "Traceback (most recent call last)"

# How deep below its own directory a federation has logs: federation/node-1/executor/log.
LEVELS = 3

# What may stand in any log, each with its reason.
ALWAYS = (
    # A node asks about runs that it holds, and flwr's SuperLink logs the answer as an error.
    r"\[/v1/fleet/get-run\]\[ApiError:2007\].* Run is finished",
    # A task's heartbeat that was under way when the task reported its end.
    r"\[/v1/runtime/send-task-heartbeat\]\[ApiError:1008\]",
    # uvicorn's event loop is stopped while it waits to be told to shut down.
    r"(?s)uvicorn/lifespan/on\.py.*CancelledError",
)

# What a process that was killed leaves in the logs of those that it talked to.
AFTER_A_KILL = (
    r"Task \d+ failed: The process of the task (was ended by SIGKILL|ended with exit code 2)",
    r"Task \d+ failed: The executor of the task was stopped",
    # The next SuperNode knows nothing of the tokens of the last one's tasks.
    r"\[ApiError:1008\] Runtime task-token authentication failed",
    r"401 Unauthorized",
    # A ClientApp whose SuperNode is gone while it pushes its reply.
    r"http(x|core)\.\w+",
    r"TaskStopped",
    # Requests that were open when uvicorn was stopped.
    r"CancelledError",
    # A reply came twice, or after the SuperLink had counted the node as lost.
    r"Failed to store Message reply: The message it replies to",
    r"Invalid destination node ID for Message",
    # A node is admitted again when its last heartbeat has lapsed.
    r"\[/v1/fleet/activate-node\]\[ApiError:2004\]",
)


def errors_in(text: str, allowed: Iterable[str] = ()) -> list[str]:
    """Return the lines of a log that tell of an error and match no allowed expression.

    A traceback is allowed when the lines below it, up to the error that it ends with, match. What
    a run prints comes with a header, as text or as JSON; other programs print as they like.
    """
    patterns = [re.compile(each) for each in (*ALWAYS, *allowed)]
    # What programs of several runs print at once comes line by line, each with its own header.
    sources: defaultdict[tuple[str, ...], list[_Said]] = defaultdict(list)
    for line in _lines(text):
        sources[line.source].append(line)
    found = []
    for lines in sources.values():
        number = 0
        while number < len(lines):
            whole = _whole(lines, number)
            number += max(1, len(whole))
            said = "\n".join(whole)
            if whole and not any(pattern.search(said) for pattern in patterns):
                found.append(said)
    return found


@dataclass(frozen=True)
class _Said:
    """A line of a log: where its header says that it comes from, and what it says.

    `plain` is what was printed; `text` has the level before it, as flwr's own logger would.
    """

    header: tuple[str, ...]
    error: bool
    text: str
    plain: str

    @property
    def source(self) -> tuple[str, ...]:
        """Who says it: the component and its run; nobody, without a header."""
        return self.header[:2]


def _lines(text: str) -> Iterator[_Said]:
    for written in text.splitlines():
        plain = _COLOUR.sub("", written)
        if (line := parse_line(plain)) is None:
            yield _Said((), bool(_ERROR.match(plain)), plain.rstrip(), plain.rstrip())
            continue
        error = line.level in ("ERROR", "CRITICAL")
        header = (line.component, line.labels.get("run", ""))
        # What is allowed may name the level.
        level = f"{line.level} : " if error and "Traceback" not in line.text else ""
        for each in line.text.split("\n"):
            text = f"{level}{each}".rstrip()
            yield _Said((*header, str(line.time)), error, text, each.rstrip())
            level = ""


def _whole(lines: list[_Said], start: int) -> list[str]:
    """Return the lines of an error, of those of one source; none, if none begins there."""
    first = lines[start]
    traceback = _TRACEBACK in first.text
    if not (first.error or traceback):
        return []
    whole = [first.text]
    for line in lines[start + 1 :]:
        if traceback:
            whole.append(line.plain)
            if (
                _TRACEBACK not in line.plain
                and line.plain
                and not line.plain.startswith((" ", "\t"))
            ):
                break
        elif line.header and line.header == first.header and line.error:
            # Of one record: a message of several lines, or a message and its traceback.
            whole.append(line.text)
        else:
            break
    return whole


class LogWatch:
    """Reads what was added to the logs below a directory.

    The directory comes to hold thousands of others, and each test asks: what was left is not
    looked into again.

    Parameters
    ----------
    directory : Path
        Where the federations of this test session are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}
        self._allowed: dict[str, set[str]] = {}
        self._left: set[str] = set()

    def unexpected(self, allowed: Iterable[str]) -> list[str]:
        """Return the errors that were logged since the last call, each with its log's path."""
        allowed = set(allowed)
        found = []
        for root in self._roots():
            for log in _logs(self._directory / root, LEVELS):
                of_federation = self._allowed.setdefault(root, set())
                of_federation |= allowed
                where = log.relative_to(self._directory)
                new = self._new(log)
                found += [f"{where}: {error}" for error in errors_in(new, of_federation)]
        return found

    def leave(self, directory: Path) -> None:
        """Look no longer into one of the directories: the test that had it is over."""
        if directory.parent == self._directory:
            self._left.add(directory.name)

    def leave_all(self) -> None:
        """Look no longer into what is there by now: those who shared it are over."""
        self._left.update(self._roots())

    def _new(self, log: Path) -> str:
        start = self._read.get(log, 0)
        try:
            if log.stat().st_size == start:
                return ""
            content = log.read_bytes()
        except FileNotFoundError:  # of an app that has deleted it meanwhile
            return ""
        self._read[log] = len(content)
        # A log that is shorter than before is a new one.
        return content[start if start <= len(content) else 0 :].decode(errors="replace")

    def _roots(self) -> list[str]:
        # What pytest calls "current" is a link to a directory that is among them, too.
        with os.scandir(self._directory) as entries:
            return [
                each.name
                for each in entries
                if each.name not in self._left and each.is_dir(follow_symlinks=False)
            ]


def _logs(directory: Path, levels: int) -> Iterator[Path]:
    """Give the logs in a directory and in those below it, so many levels deep."""
    try:
        entries = [*os.scandir(directory)]
    except OSError:  # it was deleted meanwhile, or is closed
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if levels:
                yield from _logs(directory / entry.name, levels - 1)
        elif entry.name == "log" and entry.is_file():
            yield directory / entry.name
