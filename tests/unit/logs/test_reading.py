"""The lines of a run from several places: by their times, to the run's end, and of one run."""

import sys
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.logs.lines import Line
from fedstate.logs.reading import (
    POLL_SECONDS,
    SILENT_SECONDS,
    CommandSource,
    collected,
    lines_of,
    run_named,
)
from fedstate.logs.run_files import Reader, RunFile


def write(directory: Path, run: int, *lines: tuple[float, str]) -> RunFile:
    directory.mkdir(exist_ok=True)
    file = RunFile(directory, run)
    file.write(Line(time, "INFO", "clientapp", text, {"run": str(run)}) for time, text in lines)
    return file


def test_lines_of_several_nodes_come_by_their_times(tmp_path: Path) -> None:
    write(tmp_path / "a", 7, (1, "one"), (3, "three"))
    write(tmp_path / "b", 7, (2, "two"))
    sources = [Reader(tmp_path / name, 7) for name in ("a", "b", "none")]
    assert [line.text for line in lines_of(sources)] == ["one", "two", "three"]


def test_following_ends_when_the_run_has_ended_on_every_node_that_has_it(tmp_path: Path) -> None:
    first = write(tmp_path / "a", 7, (1, "one"))
    waits = []

    def meanwhile(seconds: float) -> None:
        waits.append(seconds)
        match len(waits):
            case 1:
                first.end()
                write(tmp_path / "b", 7, (2, "begins later"))
            case 2:
                write(tmp_path / "b", 7, (3, "last")).end()
            case _:
                raise AssertionError("nothing more is to come")

    sources = [Reader(tmp_path / name, 7) for name in ("a", "b", "none")]
    said = [line.text for line in lines_of(sources, follow=True, sleep=meanwhile)]
    assert said == ["one", "begins later", "last"]
    assert waits


def test_who_follows_is_told_once_that_nothing_comes(tmp_path: Path) -> None:
    file = write(tmp_path / "a", 7, (1, "one"))
    told, waits = list[int](), list[float]()

    def meanwhile(seconds: float) -> None:
        waits.append(seconds)
        if sum(waits) > 3 * SILENT_SECONDS:
            file.end()

    lines = lines_of(
        [Reader(tmp_path / "a", 7)],
        follow=True,
        sleep=meanwhile,
        silent=lambda: told.append(len(waits)),
    )
    assert [line.text for line in lines] == ["one"]
    assert [round(number * POLL_SECONDS) for number in told] == [round(SILENT_SECONDS)]


def test_a_command_is_a_source(tmp_path: Path) -> None:
    line = Line(5.0, "INFO", "clientapp", "of a container", {"run": "7"})
    script = f"print({line.to_json()!r}); print('no line')"
    write(tmp_path, 7, (9, "of a file"))
    sources = [CommandSource([sys.executable, "-c", script]) for _ in range(2)]
    lines = collected(sources)
    assert [each.text for each in lines] == ["of a container"] * 2
    assert not sources[0].problem


def test_a_command_that_fails_says_why() -> None:
    source = CommandSource([sys.executable, "-c", "raise SystemExit('no such run')"])
    assert collected([source]) == []
    assert source.problem == "no such run"
    assert list(lines_of([CommandSource([sys.executable, "-c", ""])], follow=True)) == []
    with pytest.raises(FederationError, match="'no-such-program' cannot be run"):
        CommandSource(["no-such-program"])


def test_a_run_is_named_by_the_first_digits_of_its_id(tmp_path: Path) -> None:
    for run in (12, 123, 456):
        write(tmp_path, run, (1, "x"))
    assert run_named("4", [tmp_path]) == 456
    assert run_named("12", [tmp_path]) == 12, "all of its digits"
    with pytest.raises(FederationError, match=r"Several runs begin with '1': 12, 123\. Give"):
        run_named("1", [tmp_path])
    with pytest.raises(FederationError, match="Several runs begin with ''"):
        run_named("", [tmp_path])
    for wrong in ("9", "x"):
        with pytest.raises(FederationError, match="there is of: 12, 123, 456"):
            run_named(wrong, [tmp_path])
