"""A file is there whole or not at all, and nothing is in its place afterwards."""

import stat
from pathlib import Path

import pytest

from fedstate.inspection import InspectionError
from fedstate.inspection.export.writing import whole_file


def write(target: Path, content: str = "new", *, replace: bool = False) -> None:
    with whole_file(target, replace=replace) as partial:
        partial.write_text(content)


def test_a_file_is_there_when_all_of_it_is_written(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file", replace=False) as partial:
        partial.write_text("new")
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_there_is_replaced_only_if_somebody_says_so(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(InspectionError, match=r"is there already; give --replace"):
        write(target)
    assert target.read_text() == "old"
    write(target, replace=True)
    assert target.read_text() == "new"


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "file"

    def write_while_somebody_else_does() -> None:
        with whole_file(target, replace=False) as partial:
            partial.write_text("new")
            target.write_text("theirs")

    with pytest.raises(InspectionError, match="is there already"):
        write_while_somebody_else_does()
    assert target.read_text() == "theirs"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_failed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file", replace=False):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/file", r"cannot be written \(No such file or directory\)"),
        ("plain/file", r"cannot be written \(Not a directory\)"),
        ("/proc/file", "cannot be written"),
        ("directory", "is a directory; give the name of a file"),
        ("x" * 300, r"cannot be written \(File name too long\)"),
    ],
)
def test_a_bad_place_is_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "directory").mkdir()
    with pytest.raises(InspectionError, match=reason):
        write(tmp_path / name)
    assert {each.name for each in tmp_path.iterdir()} == {"plain", "directory"}


def test_a_library_that_says_it_in_words_of_its_own(tmp_path: Path) -> None:
    with (
        pytest.raises(InspectionError, match=r"cannot be written \(No space left\)"),
        whole_file(tmp_path / "file", replace=False),
    ):
        raise RuntimeError("Error while serializing: I/O error: No space left (os error 28)")
