"""A program that is started from nothing: its files, its environment, its session."""

import os
import sys
from pathlib import Path

import pytest

from fedstate.local.execute import execute


def test_its_output_is_appended_and_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = (
        "import os, sys; print(os.environ['OURS'], 'HOME' in os.environ, flush=True);"
        "print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', file=sys.stderr)"
    )
    started = execute([sys.executable, "-c", code], {"OURS": "ours"}, log)
    assert started.wait(30) == 0
    assert log.read_text().splitlines() == ["before", "ours False", "True True"]


def test_it_ends_as_it_is_asked_to(tmp_path: Path) -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    started = execute(sleeping, dict(os.environ), tmp_path / "log")
    assert started.poll() is None
    started.terminate()
    assert started.wait(30) == started.returncode == -15


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        execute(["no-such-program"], {}, tmp_path / "log")
