"""The suite's own eye on logs: what it finds, and what it lets pass."""

from pathlib import Path

import pytest

from tests.federation_logs import LogWatch, errors_in

TRACEBACK = """INFO: before
Traceback (most recent call last):
  File "app.py", line 1, in train
    raise ValueError("no data")
ValueError: no data
INFO: after
"""


def test_an_error_is_found_whatever_its_colour() -> None:
    assert errors_in("\x1b[91mERROR \x1b[0m:     lost\nINFO: an ERROR in a sentence\n") == [
        "ERROR :     lost"
    ]


def test_a_traceback_is_found_and_allowed_by_the_error_that_it_ends_with() -> None:
    (found,) = errors_in(TRACEBACK)
    assert found.endswith("ValueError: no data")
    assert errors_in(TRACEBACK, ["ValueError: no data"]) == []
    assert errors_in(TRACEBACK, ["INFO: after"]) == [found]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory that is deeper than where the suite itself looks for logs."""
    base = tmp_path / "1" / "2" / "3" / "4"
    base.mkdir(parents=True)
    return base


def test_each_line_is_looked_at_once_and_what_is_allowed_stays_so(base: Path) -> None:
    log = base / "federation" / "node-1" / "log"
    log.parent.mkdir(parents=True)
    watch = LogWatch(base)
    log.write_text("ERROR : lost\n")
    assert watch.unexpected([]) == ["federation/node-1/log: ERROR : lost"]
    assert watch.unexpected([]) == []
    with log.open("a") as file:
        file.write("ERROR : killed\n")
    assert watch.unexpected(["killed"]) == []
    with log.open("a") as file:
        file.write("ERROR : killed\n")
    assert watch.unexpected([]) == []


def test_a_traceback_with_a_header_on_each_line_is_one_error() -> None:
    header = "2026-11-26T19:44:33.498Z ERROR    clientapp [run 7 node 1 message a]: "
    printed = "".join(f"{header}{line}\n" for line in TRACEBACK.splitlines()[1:-1])
    (found,) = errors_in(printed)
    assert found.endswith("ValueError: no data")
    assert errors_in(printed, ["ValueError: no data"]) == []


def test_tracebacks_of_two_runs_that_come_at_once_are_two_errors() -> None:
    headers = [f"2026-11-26T19:44:33.498Z ERROR    clientapp [run {run}]: " for run in (7, 8)]
    lines = TRACEBACK.splitlines()[1:-1]
    printed = "".join(f"{header}{line}\n" for line in lines for header in headers)
    assert len(errors_in(printed)) == 2
    assert errors_in(printed, ["ValueError: no data"]) == []


def test_what_was_left_is_not_looked_into(base: Path) -> None:
    watch = LogWatch(base)
    for name in ("own", "shared"):
        (base / name).mkdir()
        (base / name / "log").write_text(f"ERROR : {name}\n")
    watch.leave(base / "own")
    watch.leave(base)  # not one of them
    assert watch.unexpected([]) == ["shared/log: ERROR : shared"]
    watch.leave_all()
    (base / "new").mkdir()
    for name in ("own", "shared", "new"):
        with (base / name / "log").open("a") as file:
            file.write("ERROR : late\n")
    assert watch.unexpected([]) == ["new/log: ERROR : late"]


def test_logs_are_found_as_deep_as_a_federation_has_them(base: Path) -> None:
    watch = LogWatch(base)
    place = base / "a"
    found = []
    for name in ("federation", "node-1", "executor", "deeper"):
        place.mkdir()
        (place / "log").write_text("ERROR : lost\n")
        found.append(f"{(place / 'log').relative_to(base)}: ERROR : lost")
        place /= name
    assert sorted(watch.unexpected([])) == sorted(found)
    place.mkdir()
    (place / "log").write_text("ERROR : lost\n")
    (base / "current").symlink_to(base / "a")
    assert watch.unexpected([]) == []
