"""Which runs have output here, and which of it has an end."""

from pathlib import Path

import pytest
from tests.unit.executor.conftest import order

from fedstate.executor.run_outputs import RunOutputs
from fedstate.flower.task_order import TaskKind
from fedstate.logs.lines import Line
from fedstate.logs.run_files import RunFile, has_end, outputs_in


def test_without_a_directory_nothing_is_kept() -> None:
    outputs = RunOutputs(None)
    printed = outputs.printed(order("", 1))
    assert not printed.has_file
    printed.end(run_ended=True)
    outputs.end(1)
    assert outputs.closed_directories == ()
    assert outputs.without_end == frozenset()


def test_a_run_has_a_file_until_it_ends(tmp_path: Path) -> None:
    outputs = RunOutputs(tmp_path / "output")
    printed = outputs.printed(order("", 1, run_id=7))
    assert outputs.without_end == {7}
    assert outputs.closed_directories == (tmp_path / "output",)
    printed.end(run_ended=True)
    outputs.closed(7, ended=True)
    assert has_end(tmp_path / "output", 7)
    assert outputs.without_end == frozenset()


def test_a_run_whose_room_was_idle_goes_on(tmp_path: Path) -> None:
    outputs = RunOutputs(tmp_path)
    outputs.printed(order("", 1, run_id=7)).end(run_ended=False)
    outputs.closed(7, ended=False)
    assert outputs.without_end == {7}
    outputs.end(7)
    outputs.end(7)
    assert has_end(tmp_path, 7)


def test_what_a_killed_executor_has_left_gets_its_end_from_the_next(tmp_path: Path) -> None:
    for run_id in (7, 8):
        RunFile(tmp_path, run_id)
    RunFile(tmp_path, 8).end()
    outputs = RunOutputs(tmp_path)
    assert outputs.without_end == {7}
    outputs.end(7)
    assert has_end(tmp_path, 7)


def test_a_run_whose_file_cannot_be_written_runs_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "7.log").mkdir()
    RunOutputs(tmp_path).printed(order("", 1, run_id=7))
    assert "What the run prints is not kept: [Errno 21] Is a directory" in caplog.text


def test_the_oldest_output_goes_when_there_is_too_much(tmp_path: Path) -> None:
    RunFile(tmp_path, 7).end()
    RunFile(tmp_path, 6).write([Line(1.0, "INFO", "clientapp", "without an end")])
    outputs = RunOutputs(tmp_path, most_bytes=10)
    outputs.printed(order("", 1, run_id=8)).take([b"of a run that goes on"])
    outputs.printed(order("", 1, run_id=9))
    assert outputs_in(tmp_path).keys() == {8, 9}
    assert outputs.without_end == {8, 9}


def test_who_prints_is_told_by_the_task(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = order("", 1, kind=TaskKind.SERVER_APP)
    RunOutputs(tmp_path).printed(server).take([b"said"])
    assert " serverapp [run " in capfd.readouterr().err
