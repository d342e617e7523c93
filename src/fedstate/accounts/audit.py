"""The audit log: one line of JSON for each call of the Control API, allowed or refused."""

import datetime
import json
import logging
import os
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from fedstate.errors import SettingError
from fedstate.files import PRIVATE, make_directory
from fedstate.logs import logger

# A line has some 300 bytes: the files keep the last 200,000 calls or so.
MAXIMUM_BYTES = 10 * 1024 * 1024
KEPT_FILES = 6
_MOST_CHARACTERS = 200
_MOST_RUNS = 20


class AuditLog:
    """Where calls are written; any thread may use it.

    A line is with the operating system when `write` returns. What cannot be written to the file,
    since the disk is full, goes to the SuperLink's log with an error.

    Parameters
    ----------
    file : Path, optional
        The newest file; older ones have ``.1`` to ``.5`` at the end of their names. Without it,
        lines go to the SuperLink's log.
    maximum_bytes : int
        How large a file may get.
    kept : int
        How many files are kept, with the newest.

    Raises
    ------
    SettingError
        The file cannot be written.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        maximum_bytes: int = MAXIMUM_BYTES,
        kept: int = KEPT_FILES,
    ) -> None:
        self._handler: _PrivateFiles | None = None
        if file is None:
            return
        try:
            make_directory(file.parent, 0o700)
            self._handler = _PrivateFiles(
                file, maxBytes=maximum_bytes, backupCount=kept - 1, encoding="utf-8"
            )
        except OSError as error:
            raise SettingError(
                f"The audit log '{file}' cannot be written ({error.strerror}); name another file "
                "with --audit-log."
            ) from None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write one line, with the time at its beginning."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **entry}, separators=(",", ":"))
        if self._handler is None:
            logger.info("Control API: %s", line)
        else:
            self._handler.emit_line(line)

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()


class _PrivateFiles(RotatingFileHandler):
    """Python's rotating files, which are their owner's alone from the first byte."""

    def emit_line(self, line: str) -> None:
        """Write a line, and flush it."""
        self.handle(logging.makeLogRecord({"msg": line}))

    def _open(self) -> Any:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        return os.fdopen(os.open(self.baseFilename, flags, PRIVATE), "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  Python's name
        """Say what is lost otherwise: Python would print a traceback."""
        logger.error(
            "The audit log %s cannot be written; the line that is lost there: %s",
            self.baseFilename,
            record.getMessage(),
        )


def details_of(request: Any, response: Any = None) -> dict[str, Any]:
    """Return what an entry says of a call's messages: which run, node or app it is about.

    Parameters
    ----------
    request, response : protobuf messages or None
        The messages of the call, as far as it has come.
    """
    details: dict[str, Any] = {}
    for message in (request, response):
        fields = getattr(message, "DESCRIPTOR", None)
        names = fields.fields_by_name if fields is not None else {}
        if "run_id" in names and message.run_id:
            details["run"] = str(message.run_id)
        if "run_ids" in names and message.run_ids:
            details["runs"] = [str(each) for each in message.run_ids[:_MOST_RUNS]]
        if "node_id" in names and message.node_id:
            details["node"] = str(message.node_id)
        if "app_spec" in names and message.app_spec:
            details["app"] = shortened(message.app_spec)
        if "fab" in names and message.fab.hash_str:
            details["fab"] = shortened(message.fab.hash_str)
    return details


def shortened(text: str) -> str:
    """Return a text that somebody has sent, not longer than a line can bear."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
