"""How a program logs: one handler for its lines and for those of the libraries that it uses.

Flower gives its logger ``flwr`` a handler when it is imported. `configure` puts ours into the
place of that one, which `release` puts back: a task's process logs as Flower's does, and is a
fork of a program that does not.
"""

import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from fedstate.errors import SettingError
from fedstate.logs.labels import current
from fedstate.logs.lines import Line

TEXT, JSON = "text", "json"
VARIABLE = "FEDSTATE_LOG_FORMAT"
OPTION_HELP = (
    "How lines are logged: 'text' for people, or 'json', an object a line (default: the variable "
    f"{VARIABLE}, or text)."
)
_FLOWER, _SERVER, _ACCESS = "flwr", "uvicorn", "uvicorn.access"
# They log each request that a program makes.
_CLIENTS = ("httpx", "httpcore")


def chosen_format(option: str | None) -> str:
    """Return how to log: as the option says, or the environment.

    Raises
    ------
    SettingError
        There is no such format.
    """
    name = "--log-format" if option is not None else VARIABLE
    given = (option if option is not None else os.environ.get(VARIABLE)) or TEXT
    if given not in (TEXT, JSON):
        raise SettingError(f"{name} is '{given}': give 'text' or 'json'.")
    return given


class LineHandler(logging.StreamHandler[Any]):
    """Writes each record as a line, with the labels of the moment."""

    def __init__(self, component: str, log_format: str) -> None:
        super().__init__(sys.stderr)
        self.component = component
        self.log_format = log_format
        self.node = ""
        self._colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        labels = {"node": self.node} if self.node else {}
        labels |= current() | getattr(record, "labels", {})
        line = Line(record.created, record.levelname, self.component, text.rstrip(), labels)
        return self.written(line)

    def written(self, line: Line) -> str:
        """Return a line as this program writes it."""
        return line.to_json() if self.log_format == JSON else line.to_text(colour=self._colour)


class _Access(logging.Filter):
    """The server's access log is for who looks for an error: it is of the level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return True


class _Configured:
    """What `configure` has changed, so that it can be undone."""

    handler: LineHandler | None = None
    theirs: list[logging.Handler] = []  # noqa: RUF012  of the one object that there is
    undo: list[Callable[[], object]] = []  # noqa: RUF012


_configured = _Configured()


def configure(
    component: str, log_format: str = TEXT, *filters: logging.Filter, level: int | None = None
) -> None:
    """Log Flower's lines, the server's and our own in our form from now on.

    Twice is as once: Flower's logger may have got its own handler in between.

    Parameters
    ----------
    component : str
        What this program is.
    log_format : str
        `TEXT` or `JSON`.
    *filters : logging.Filter
        What is done to Flower's lines before.
    level : int, optional
        The lowest level that is shown; without it, the one of Flower's handler.
    """
    theirs = _replaced()
    levels = [each.level for each in (*theirs, *_configured.theirs)]
    release()
    handler = LineHandler(component, log_format)
    handler.setLevel(level if level is not None else min(levels, default=logging.INFO))
    _configured.handler, _configured.theirs = handler, _replaced()
    flower = logging.getLogger(_FLOWER)
    for each in _configured.theirs:
        flower.removeHandler(each)
    for name in (_FLOWER, _SERVER):
        _add(name, handler)
    for given in filters:
        _filter(_FLOWER, given)
    _filter(_ACCESS, _Access())
    _level(_SERVER, handler.level)
    for name in _CLIENTS:
        _level(name, logging.WARNING)


def cover_everything() -> None:
    """Log the rest in our form, too: other libraries, warnings of Python, what ends a program.

    Not where apps are forked from: they find Python's logging as a new program does.
    """
    if (handler := _configured.handler) is None:
        return
    for name in (_FLOWER, _SERVER):
        logging.getLogger(name).removeHandler(handler)
    _add(None, handler)
    logging.captureWarnings(True)
    before, threads_before = sys.excepthook, threading.excepthook
    sys.excepthook, threading.excepthook = _log_uncaught, _log_uncaught_in_thread

    def undo() -> None:
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook = before, threads_before

    _configured.undo.append(undo)


def release() -> None:
    """Leave logging as it was before `configure`; nothing happens if that was not called."""
    while _configured.undo:
        _configured.undo.pop()()
    flower = logging.getLogger(_FLOWER)
    for each in _configured.theirs:
        flower.addHandler(each)
    _configured.theirs, _configured.handler = [], None


def of_node(node_id: int) -> None:
    """Label every further line of this program with a node."""
    if _configured.handler is not None:
        _configured.handler.node = str(node_id)


def written(line: Line) -> str:
    """Return a line as this program writes its own; as text, if it was not configured."""
    handler = _configured.handler
    return line.to_text() if handler is None else handler.written(line)


def log_format() -> str:
    """Return how this program logs."""
    return TEXT if _configured.handler is None else _configured.handler.log_format


def _replaced() -> list[logging.Handler]:
    """Return the handlers of Flower's that write to the console."""
    return [
        each
        for each in logging.getLogger(_FLOWER).handlers
        if isinstance(each, logging.StreamHandler)
        and not isinstance(each, logging.FileHandler | LineHandler)
    ]


def _add(name: str | None, handler: logging.Handler) -> None:
    there = logging.getLogger(name)
    there.addHandler(handler)
    _configured.undo.append(lambda: there.removeHandler(handler))


def _filter(name: str, given: logging.Filter) -> None:
    there = logging.getLogger(name)
    there.addFilter(given)
    _configured.undo.append(lambda: there.removeFilter(given))


def _level(name: str, level: int) -> None:
    there, before = logging.getLogger(name), logging.getLogger(name).level
    there.setLevel(level)
    _configured.undo.append(lambda: there.setLevel(before))


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    with contextlib.suppress(Exception):
        uncaught = "The program ended with an error that nobody expected."
        logging.getLogger("flwr.fedstate").critical(uncaught, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is None or issubclass(given.exc_type, SystemExit):
        return
    name = "?" if given.thread is None else given.thread.name
    logging.getLogger("flwr.fedstate").error(
        "The thread '%s' ended with an error that nobody expected.",
        name,
        exc_info=(given.exc_type, given.exc_value, given.exc_traceback),
    )
