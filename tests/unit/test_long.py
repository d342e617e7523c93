"""The long tests are listed as a whole, so that `make test-long` leaves none out."""

import re
from pathlib import Path

import pytest

from tests import long

TESTS = long.ROOT / "tests"
# How a test asks whether it is to be long.
ASKS = re.compile(
    "|".join(
        [
            "FEDSTATE_SLOW",
            r"from tests\.unit\.state\.examples import",
            r"from tests\.hostile\.siege import",
            r"ground import .*\bslow\b",
            *{name for part in long.PARTS.values() for name in part.variables},
        ]
    )
)
# Those that answer, and this list.
ANSWERS = ("tests/long.py", "tests/unit/test_long.py", "tests/unit/state/examples.py")


def asking() -> list[str]:
    files = (str(file.relative_to(long.ROOT)) for file in sorted(TESTS.rglob("*.py")))
    return [file for file in files if file not in ANSWERS and ASKS.search(read(file))]


def read(file: str) -> str:
    return (long.ROOT / file).read_text()


@pytest.mark.parametrize("file", asking())
def test_what_can_be_long_is_in_a_part(file: str) -> None:
    listed = {path for part in long.PARTS.values() for path in part.tests}
    assert {file, *map(str, Path(file).parents)} & listed


@pytest.mark.parametrize("name", long.PARTS)
def test_a_part_is_of_tests_that_can_be_long(name: str) -> None:
    found = asking()
    for path in long.PARTS[name].tests:
        assert (long.ROOT / path).exists(), path
        assert [file for file in found if path in (file, *map(str, Path(file).parents))], path


def test_the_sizes_are_those_that_tests_ask_for() -> None:
    for part in long.PARTS.values():
        for name in part.variables:
            assert any(name in read(file) for file in asking()), name


def test_a_part_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        long.main(["saok"])
    assert ended.value.code == 2
    assert "There is no part 'saok': it is one of examples, verify" in capsys.readouterr().err


def test_the_parts_are_listed_with_their_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    assert long.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(long.PARTS)
