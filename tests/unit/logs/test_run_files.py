"""The file of a run's output: whole lines, bounded, read as far as it has come."""

import os
from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.logs.lines import Line
from fedstate.logs.run_files import (
    Reader,
    RunFile,
    bound_outputs,
    delete_output,
    has_end,
    outputs_in,
    prepare_directory,
)


def line(text: str, run: int = 7) -> Line:
    return Line(1.0, "INFO", "clientapp", text, {"run": str(run)})


def read(reader: Reader) -> list[str]:
    return [each.text for each in reader.read()]


def test_lines_are_read_as_they_come_until_the_run_has_ended(tmp_path: Path) -> None:
    reader, file = Reader(tmp_path, 7), RunFile(tmp_path, 7)
    assert read(reader) == []
    file.write([line("one"), line("two")])
    assert read(reader) == ["one", "two"]
    file.write([line("three")])
    assert read(reader) == ["three"]
    assert not reader.ended
    assert not has_end(tmp_path, 7)
    file.end()
    assert read(reader) == []
    assert reader.ended
    assert has_end(tmp_path, 7)
    reader.close()
    assert (tmp_path / "7.log").stat().st_mode & 0o777 == 0o640


def test_a_run_that_goes_on_after_its_room_was_closed_has_not_ended(tmp_path: Path) -> None:
    RunFile(tmp_path, 7).end()
    RunFile(tmp_path, 7).write([line("again")])
    reader = Reader(tmp_path, 7)
    assert read(reader) == ["again"]
    assert not reader.ended
    assert not has_end(tmp_path, 7)


def test_two_files_are_all_that_a_run_has_and_a_reader_misses_nothing(tmp_path: Path) -> None:
    file, reader = RunFile(tmp_path, 7, most_bytes=2000), Reader(tmp_path, 7)
    seen = []
    for number in range(100):
        file.write([line(f"{number}")])
        seen += read(reader)
    assert seen == [str(number) for number in range(100)]
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    assert sizes.keys() == {"7.log", "7.log.1"}
    assert max(sizes.values()) <= 2000
    late = read(Reader(tmp_path, 7))
    assert late == seen[-len(late) :]
    assert len(late) > 15


def test_many_lines_at_once_are_bounded_as_well(tmp_path: Path) -> None:
    RunFile(tmp_path, 7, most_bytes=2000).write(line(f"{number}") for number in range(100))
    assert max(each.stat().st_size for each in tmp_path.iterdir()) <= 2000
    assert read(Reader(tmp_path, 7))[-1] == "99"


def test_a_line_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    path, written = tmp_path / "7.log", line("whole").to_json()
    reader = Reader(tmp_path, 7)
    path.write_text(written[:20])
    assert read(reader) == []
    with path.open("a") as file:
        file.write(f"{written[20:]}\n")
    assert read(reader) == ["whole"]


def test_what_is_no_line_of_the_run_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "7.log").write_bytes(
        b"\xff\x00nonsense\n"
        + f"{line('of 8', 8).to_json()}\n{line('of 7').to_json()}\n".encode()
    )
    assert read(Reader(tmp_path, 7)) == ["of 7"]


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_is_no_file_is_neither_read_nor_written(tmp_path: Path, kind: str) -> None:
    secret, path = tmp_path / "secret", tmp_path / "7.log"
    secret.write_text(f"{line('secret').to_json()}\n")
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert read(Reader(tmp_path, 7)) == []
    assert not has_end(tmp_path, 7)
    if kind == "pipe":
        return  # who has it open for writing waits for a reader
    file = RunFile(tmp_path, 7)
    file.write([line("lost")])
    assert file.problem is not None
    assert secret.read_text() == f"{line('secret').to_json()}\n"


def test_a_disk_that_is_full_costs_lines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RunFile(tmp_path, 7)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        file.write([line("lost")])
    assert file.problem is not None
    file.write([line("kept")])
    assert read(Reader(tmp_path, 7)) == ["kept"]


def test_what_is_there_is_known_and_can_be_deleted(tmp_path: Path) -> None:
    assert outputs_in(tmp_path / "none") == {}
    RunFile(tmp_path, 7, most_bytes=200).write(line(f"{number}") for number in range(5))
    RunFile(tmp_path, 8).write([line("x", 8)])
    (tmp_path / "9.txt").touch()
    (tmp_path / "x.log").touch()
    there = outputs_in(tmp_path)
    assert there.keys() == {7, 8}
    assert there[7].size == sum(each.stat().st_size for each in tmp_path.glob("7.log*"))
    for _ in range(2):
        delete_output(tmp_path, 7)
    assert outputs_in(tmp_path).keys() == {8}


def test_the_oldest_output_goes_first_and_never_that_of_a_run_that_goes_on(
    tmp_path: Path,
) -> None:
    for run in (1, 2, 3, 4):
        RunFile(tmp_path, run).write([line("x" * 1000, run)])
        os.utime(tmp_path / f"{run}.log", (run, run))
    assert bound_outputs(tmp_path, {1}, most_bytes=3000) == [2, 3]
    assert outputs_in(tmp_path).keys() == {1, 4}
    assert bound_outputs(tmp_path, {1}, most_bytes=3000) == []


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"--output is .*below, which cannot be written"):
        prepare_directory(tmp_path / "file" / "below", "--output")
    with pytest.raises(SettingError, match=r"--output is .*file, which cannot be written"):
        prepare_directory(tmp_path / "file", "--output")
    assert prepare_directory(tmp_path / "a" / "b", "--output").is_dir()
