"""Limits name themselves."""

import errno
from pathlib import Path

import pytest

from fedstate.walls.limits import RunLimits, available_memory, default_limits, in_words

LIMITS = RunLimits(processes=10, open_files=20, memory=3 * 1024**3, files=2048)


@pytest.mark.parametrize(
    ("error", "option"),
    [
        (BlockingIOError(errno.EAGAIN, "fork"), "--max-processes"),
        (RuntimeError("can't start new thread"), "--max-processes"),
        (OSError(errno.EMFILE, "open"), "--max-open-files"),
        (MemoryError(), "--max-memory"),
        (OSError(errno.ENOMEM, "mmap"), "--max-memory"),
        (OSError(errno.ENOSPC, "write"), "--max-files"),
        (OSError(errno.EFBIG, "write"), "--max-files"),
        (OSError(errno.EDQUOT, "write"), "--max-files"),
    ],
)
def test_an_error_names_the_limit_that_it_comes_from(error: Exception, option: str) -> None:
    hint = LIMITS.hint(error)
    assert hint is not None
    assert option in hint
    assert RunLimits().hint(error) is None
    wrapped = ValueError("in the app")
    wrapped.__cause__ = error
    assert LIMITS.hint(wrapped) == hint


def test_any_other_error_names_none() -> None:
    assert LIMITS.hint(ValueError("no")) is None
    assert LIMITS.hint(PermissionError(errno.EACCES, "no")) is None


def test_defaults_leave_room_for_others(tmp_path: Path) -> None:
    limits = default_limits(tmp_path)
    assert limits.memory is not None
    assert limits.memory < available_memory()
    assert limits.files
    assert limits.processes
    assert limits.open_files
    assert limits.task_seconds is None


@pytest.mark.parametrize(
    ("size", "words"), [(3 * 1024**3, "3 GB"), (1536 * 1024, "1.5 MB"), (12, "12 bytes")]
)
def test_sizes_are_written_as_people_do(size: int, words: str) -> None:
    assert in_words(size) == words
