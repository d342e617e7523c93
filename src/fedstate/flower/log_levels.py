"""The levels of flwr's lines: what a caller did wrong, or too late, is no error of the server's.

flwr logs every refusal as an error. Most of them are what the end of a run brings: who is still
at work for it asks once more, and hears that it has ended. An error is what the server could not
do.
"""

import logging
import re

# What flwr answers for each of its errors.
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.error.catalog import API_ERROR_MAP

_REFUSAL = re.compile(r"\[(?P<path>/v1/[\w/-]+)\]\[ApiError:(?P<code>\d+)\]")
_SERVER_ERROR = 500
_AT_THE_END_OF_A_RUN = frozenset(
    {ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, ApiErrorCode.RUN_ALREADY_FINISHED}
)
# A task whose run, or whose process, has ended asks with a token that is none any longer. That an
# executor's secret is wrong is told by these calls.
_OF_EXECUTORS = ("/v1/runtime/acquire-task", "/v1/runtime/wait-for-tasks")
# Lines that say which call was made, as the access log does.
_CALLS = re.compile(r"\[?(?:ControlServicer|Fleet|Runtime)\.\w+\]?(?: Requesting .*)?")
# What flwr says of a run in lines that belong to no request of that run.
_RUNS = re.compile(r"Created run (\d+) in federation \S+|Started task \d+ of run (\d+)")


class FlowerLevels(logging.Filter):
    """Gives flwr's lines the level that they have here, and the run that they name."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the level of a record; it is logged if that level is."""
        if record.levelno < logging.INFO:
            return True
        text = record.getMessage()
        level = _level(record.levelno, text)
        if level != record.levelno:
            record.levelno, record.levelname = level, logging.getLevelName(level)
        if (match := _RUNS.fullmatch(text)) is not None:
            record.labels = {"run": match[1] or match[2]}
        return True


def _level(level: int, text: str) -> int:
    if level >= logging.ERROR and (match := _REFUSAL.match(text)) is not None:
        return _of_refusal(int(match["code"]), match["path"])
    if level == logging.INFO and _CALLS.fullmatch(text) is not None:
        return logging.DEBUG
    return level


def _of_refusal(code: int, path: str) -> int:
    late = code in _AT_THE_END_OF_A_RUN or (
        code == ApiErrorCode.RUNTIME_AUTHENTICATION_FAILED and path not in _OF_EXECUTORS
    )
    if late:
        return logging.INFO
    spec = API_ERROR_MAP.get(ApiErrorCode(code)) if code in {*ApiErrorCode} else None
    if spec is None or spec.http_status_code >= _SERVER_ERROR:
        return logging.ERROR
    return logging.WARNING
