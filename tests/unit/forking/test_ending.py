import pytest

from fedstate.forking.ending import Ending


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
