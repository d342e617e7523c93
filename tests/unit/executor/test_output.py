"""What a run prints reaches the executor's log, bounded, and never the file itself."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.executor import output
from fedstate.executor.output import BURST_BYTES, BYTES_PER_SECOND, Output, open_output

RUN = 7


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pipe(tmp_path: Path, clock: Clock) -> Iterator[Output]:
    pipe = Output(tmp_path / "run", RUN, clock)
    yield pipe
    pipe.close()


def prints(directory: Path, script: str) -> None:
    """Run a program of the run's."""
    subprocess.run(
        ["sh", "-c", script],
        preexec_fn=lambda: open_output(directory),
        check=True,
    )


def test_both_streams_reach_the_log(
    pipe: Output, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prints(tmp_path / "run", "echo one; echo two >&2")
    pipe.copy()
    assert capfd.readouterr().err == "one\ntwo\n"
    prints(tmp_path / "run", "echo three")
    pipe.close()
    pipe.close()
    assert capfd.readouterr().err == "three\n"


def test_a_line_is_passed_on_as_a_whole(
    pipe: Output, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prints(tmp_path / "run", "printf 'one\\nhalf a '")
    pipe.copy()
    assert capfd.readouterr().err == "one\n"
    prints(tmp_path / "run", "printf 'line\\nlast'")
    pipe.copy()
    assert capfd.readouterr().err == "half a line\n"
    prints(tmp_path / "run", "head -c 10000 /dev/zero")
    pipe.copy()
    assert len(capfd.readouterr().err) == 10004
    prints(tmp_path / "run", "printf end")
    pipe.close()
    assert capfd.readouterr().err == "end\n"


def test_a_line_that_nobody_ends_is_passed_on_at_the_end_of_a_task(
    pipe: Output, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prints(tmp_path / "run", "printf 'one\\nhalf'")
    pipe.end_line()
    pipe.end_line()
    assert capfd.readouterr().err == "one\nhalf\n"


def test_the_log_cannot_be_emptied(pipe: Output, tmp_path: Path) -> None:
    assert pipe.fileno() >= 0
    with pytest.raises(OSError, match="Invalid argument"):
        os.ftruncate(pipe.fileno(), 0)
    prints(tmp_path / "run", "test -p /dev/fd/1")


def test_too_much_is_dropped_and_that_is_told(
    pipe: Output,
    tmp_path: Path,
    clock: Clock,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output, "BURST_BYTES", 100)
    pipe._allowed = 100
    for _ in range(3):
        prints(tmp_path / "run", f"echo {'x' * 59}")
        pipe.copy()
    assert capfd.readouterr().err == "x" * 59 + "\n"
    clock.now += 60 / BYTES_PER_SECOND
    prints(tmp_path / "run", "echo later")
    pipe.copy()
    printed = capfd.readouterr().err
    assert f"[Run {RUN} printed too much: 120 bytes dropped]" in printed
    assert printed.endswith("later\n")
    assert BURST_BYTES > 100


def test_a_program_that_never_stops_does_not_keep_the_executor(
    pipe: Output, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    endless = subprocess.Popen(
        ["sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"],
        preexec_fn=lambda: open_output(tmp_path / "run"),
    )
    try:
        for _ in range(3):
            pipe.copy()
    finally:
        endless.kill()
        endless.wait()
    assert len(capfd.readouterr().err) < BURST_BYTES + 1000
