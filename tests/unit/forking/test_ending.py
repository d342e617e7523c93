from typing import NoReturn

import pytest

from fedstate.forking.ending import Ending, exit_code


@pytest.mark.parametrize(
    ("code", "words", "orderly"),
    [
        (0, "ended with exit code 0", True),
        (3, "ended with exit code 3", True),
        (-9, "was ended by SIGKILL (the system may have run out of memory)", False),
        (-11, "was ended by SIGSEGV", False),
        (None, "ended", False),
    ],
)
def test_an_ending_in_words(code: int | None, words: str, orderly: bool) -> None:
    assert str(Ending(code)) == words
    assert Ending(code).orderly is orderly


def _raising(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (SystemExit(), 0, ""),
        (SystemExit(None), 0, ""),
        (SystemExit(0), 0, ""),
        (SystemExit(3), 3, ""),
        (SystemExit(-1), 255, ""),
        (SystemExit(256), 0, ""),
        (SystemExit(True), 1, ""),
        (SystemExit("no data"), 1, "no data\n"),
        (SystemExit((1, 2)), 1, "(1, 2)\n"),
    ],
)
def test_a_request_to_exit_is_understood_as_python_does(
    error: SystemExit, code: int, shown: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(lambda: _raising(error), broken=9) == code
    assert capfd.readouterr() == ("", shown)


@pytest.mark.parametrize("error", [ValueError("no data"), KeyboardInterrupt("no data")])
def test_any_other_exception_is_shown(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(lambda: _raising(error), broken=9) == 9
    shown = capfd.readouterr().err
    assert shown.startswith("Traceback (most recent call last):")
    assert shown.endswith(f"{type(error).__name__}: no data\n")


def test_a_main_function_returns_its_code() -> None:
    assert exit_code(lambda: 4, broken=9) == 4
