"""Logs that grow, are cut and are replaced while they are shown."""

from pathlib import Path

import pytest

from fedstate.local.log_files import Followed, log_files
from tests.bad_paths import bound_by_permissions


def test_logs_are_found_in_the_order_of_starting(tmp_path: Path) -> None:
    for place in ("superlink", "node-1", "node-2", "node-10"):
        for directory in (tmp_path / place, tmp_path / place / "executor"):
            directory.mkdir()
            (directory / "log").touch()
    assert list(log_files(tmp_path)) == [
        *("superlink", "serverapp-executor", "supernode-1", "executor-1"),
        *("supernode-2", "executor-2", "supernode-10", "executor-10"),
    ]
    assert log_files(tmp_path)["executor-10"] == tmp_path / "node-10/executor/log"


@pytest.mark.parametrize("closed", ["", "superlink", "node-2", "node-2/executor"])
def test_a_directory_that_may_not_be_read_is_not_an_empty_one(
    tmp_path: Path, closed: str
) -> None:
    (tmp_path / "superlink").mkdir()
    (tmp_path / "node-2" / "executor").mkdir(parents=True)
    assert log_files(tmp_path) == log_files(tmp_path / "missing") == {}
    (tmp_path / closed).chmod(0)
    with bound_by_permissions(), pytest.raises(PermissionError) as raised:
        log_files(tmp_path)
    assert Path(raised.value.filename) == tmp_path / closed


@pytest.mark.parametrize(("count", "shown"), [(0, []), (2, ["b", "c"]), (9, ["a", "b", "c"])])
def test_the_end_is_shown_and_then_what_comes(
    tmp_path: Path, count: int, shown: list[str]
) -> None:
    file = tmp_path / "log"
    file.write_text("a\nb\nc\n")
    log = Followed("superlink", file)
    assert [*log.last(count)] == shown
    assert [*log.new()] == []
    with file.open("a") as writing:
        writing.write("d\nhal")
        writing.flush()
        assert [*log.new()] == ["d"]
        writing.write("f\n")
    assert [*log.new()] == ["half"]


def test_a_new_file_in_its_place_is_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("a\n")
    log = Followed("superlink", file)
    assert [*log.last(1)] == ["a"]
    with file.open("a") as writing:
        writing.write("b\n")
    file.rename(tmp_path / "log.1")
    assert [*log.new()] == ["b"]
    file.write_text("c\n")
    assert [*log.new()] == ["c"]
    file.write_text("")
    assert [*log.new()] == []
    file.write_text("d\n")
    assert [*log.new()] == ["d"]
