"""The output of apps goes through a pipe, and comes out where it was to go."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from fedstate.executor.output import Allowance

PRELUDE = "import os; from fedstate.executor.output import pipe_output; pipe_output()\n"


def run(code: str, log: Path) -> str:
    """Run code whose output is piped; return what is in its log when it has ended."""
    with log.open("wb") as file:
        subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=60,
        )
    return log.read_text()


def test_all_that_was_said_has_arrived_when_the_process_has_ended(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "print('said', flush=True)\n"
        "if os.fork() == 0: os.write(2, b'by a child\\n'); os._exit(0)\n"
        "os.wait(); print('x' * 100_000); print('the end')"
    )
    lines = run(code, tmp_path / "log").splitlines()
    assert lines[:2] == ["said", "by a child"]
    assert lines[-1] == "the end"


def test_nobody_can_empty_the_log_or_read_what_others_say(tmp_path: Path) -> None:
    code = """
for number in (1, 2):
    for attempt in (
        lambda: os.ftruncate(number, 0),
        lambda: os.lseek(number, 0, 0),
        lambda: os.read(number, 1) and None,
    ):
        try:
            attempt()
            print("through")
        except OSError as error:
            print(error.strerror)
"""
    said = run("print('first', flush=True)" + code, tmp_path / "log")
    assert said.startswith("first\n")
    assert "through" not in said


def test_what_comes_too_fast_is_dropped_and_said(tmp_path: Path) -> None:
    code = (
        "line = b'y' * 2**16\nfor _ in range(2**10): os.write(1, line)\n"
        "print('the end', flush=True)"
    )
    log = tmp_path / "log"
    said = run(code, log)
    assert log.stat().st_size < 24 * 2**20
    assert "bytes of output were dropped]" in said


def test_a_pipe_stays_as_it_is() -> None:
    code = PRELUDE + "print(os.fstat(1).st_ino)"
    reading, writing = os.pipe()
    with os.fdopen(reading) as end:
        subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=writing, check=True)
        inode = os.fstat(writing).st_ino
        assert stat.S_ISFIFO(os.fstat(writing).st_mode)
        os.close(writing)
        assert int(end.read()) == inode


def test_an_allowance_fills_over_time() -> None:
    allowance = Allowance(10, 2, now=0.0)
    assert allowance.covers(10, now=0.0)
    assert not allowance.covers(1, now=0.0)
    assert allowance.covers(2, now=1.0)
    assert not allowance.covers(11, now=100.0), "more than it holds"
    assert allowance.covers(10, now=100.0)
