"""What a run prints reaches the executor's log, bounded, and never the file itself."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fedstate.executor import output
from fedstate.executor.output import (
    BURST_BYTES,
    BYTES_PER_SECOND,
    LINE_BYTES,
    Output,
    open_output,
)
from fedstate.executor.printed import Printed

RUN = 7


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Lines(Printed):
    """What was printed, as it came."""

    def __init__(self) -> None:
        super().__init__(RUN, "clientapp", logged=False)
        self.lines: list[bytes] = []
        self.notes: list[str] = []
        self.ended: bool | None = None

    def take(self, lines: Sequence[bytes]) -> None:
        self.lines += lines

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self, *, run_ended: bool) -> None:
        self.ended = run_ended

    def new(self) -> list[bytes]:
        taken, self.lines = self.lines, []
        return taken


@pytest.fixture
def printed() -> Lines:
    return Lines()


@pytest.fixture
def pipe(tmp_path: Path, clock: Clock, printed: Lines) -> Iterator[Output]:
    pipe = Output(tmp_path / "run", printed, clock)
    yield pipe
    pipe.close()


def passes_on(pipe: Output) -> None:
    pipe.read()
    pipe.pass_on()


def prints(directory: Path, script: str) -> None:
    """Run a program of the run's."""
    subprocess.run(
        ["sh", "-c", script],
        preexec_fn=lambda: open_output(directory),
        check=True,
    )


def test_both_streams_reach_the_log(pipe: Output, tmp_path: Path, printed: Lines) -> None:
    prints(tmp_path / "run", "echo one; echo two >&2")
    passes_on(pipe)
    assert printed.new() == [b"one", b"two"]
    prints(tmp_path / "run", "echo three")
    pipe.close(run_ended=True)
    pipe.close()
    assert printed.new() == [b"three"]
    assert printed.ended is True


def test_what_was_read_waits_until_it_is_known_what_it_is_about(
    pipe: Output, tmp_path: Path, printed: Lines
) -> None:
    prints(tmp_path / "run", "echo one")
    pipe.read()
    prints(tmp_path / "run", "echo two")
    pipe.pass_on()
    assert printed.new() == [b"one"]


def test_a_line_is_passed_on_as_a_whole(pipe: Output, tmp_path: Path, printed: Lines) -> None:
    prints(tmp_path / "run", "printf 'one\\nhalf a '")
    passes_on(pipe)
    assert printed.new() == [b"one"]
    prints(tmp_path / "run", "printf 'line\\nlast'")
    passes_on(pipe)
    assert printed.new() == [b"half a line"]
    prints(tmp_path / "run", "head -c 10000 /dev/zero")
    passes_on(pipe)
    assert [len(each) for each in printed.new()] == [8192, 1812]
    prints(tmp_path / "run", "printf end")
    pipe.close()
    assert printed.new() == [b"end"]


def test_a_line_that_nobody_ends_is_passed_on_at_the_end_of_a_task(
    pipe: Output, tmp_path: Path, printed: Lines
) -> None:
    prints(tmp_path / "run", "printf 'one\\nhalf'")
    pipe.end_line()
    pipe.end_line()
    assert printed.new() == [b"one", b"half"]


def test_the_log_cannot_be_emptied(pipe: Output, tmp_path: Path) -> None:
    assert pipe.fileno() >= 0
    with pytest.raises(OSError, match="Invalid argument"):
        os.ftruncate(pipe.fileno(), 0)
    prints(tmp_path / "run", "test -p /dev/fd/1")


def test_too_much_is_dropped_and_that_is_told(
    pipe: Output, tmp_path: Path, clock: Clock, printed: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_line = 60 + 2 * LINE_BYTES
    monkeypatch.setattr(output, "BURST_BYTES", of_a_line + 10)
    pipe._allowed = of_a_line + 10
    for _ in range(3):
        prints(tmp_path / "run", f"echo {'x' * 59}")
        passes_on(pipe)
    assert printed.new() == [b"x" * 59]
    clock.now += of_a_line / BYTES_PER_SECOND
    prints(tmp_path / "run", "echo later")
    passes_on(pipe)
    assert printed.new() == [b"later"]
    assert printed.notes == ["The run printed too much: 120 bytes are dropped."]


def test_empty_lines_are_a_flood_too(pipe: Output, tmp_path: Path, printed: Lines) -> None:
    flood = subprocess.Popen(
        ["sh", "-c", "yes '' | head -c 2000000"], preexec_fn=lambda: open_output(tmp_path / "run")
    )
    while flood.poll() is None:
        passes_on(pipe)
    passes_on(pipe)
    assert len(printed.new()) <= BURST_BYTES / LINE_BYTES
    pipe.close()
    assert "bytes are dropped" in printed.notes[-1]


def test_a_program_that_never_stops_does_not_keep_the_executor(
    pipe: Output, tmp_path: Path, printed: Lines
) -> None:
    endless = subprocess.Popen(
        ["sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"],
        preexec_fn=lambda: open_output(tmp_path / "run"),
    )
    try:
        for _ in range(3):
            passes_on(pipe)
    finally:
        endless.kill()
        endless.wait()
    assert sum(map(len, printed.new())) < BURST_BYTES
