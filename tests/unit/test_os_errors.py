"""What the operating system refuses, as one sentence."""

import errno
import os

import pytest

from fedstate.os_errors import in_words, one_line, sentence


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOENT, "'there' does not exist. Give"),
        (errno.EROFS, "its disk is read-only. Give"),
        (errno.ENOSPC, "its disk is full. Free space"),
        (errno.EACCES, "(permission denied). Change"),
        (errno.EMFILE, "too many files open. Raise"),
        (errno.EIO, "'there' cannot be used (Input/output error). Give another path."),
    ],
)
def test_the_path_and_the_way_out_are_named(code: int, said: str) -> None:
    assert said in sentence(OSError(code, os.strerror(code), "there"))


def test_the_path_that_was_to_be_made_is_the_culprit() -> None:
    error = OSError(errno.EEXIST, os.strerror(errno.EEXIST), "from", None, "to")
    assert sentence(error).startswith("'to' exists already")


def test_a_name_with_a_line_break_is_one_line() -> None:
    assert one_line("'two\nlines' is\rmissing") == "'two\\nlines' is\\rmissing"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_in_words_has_no_number(error: Exception, words: str) -> None:
    assert in_words(error) == words
