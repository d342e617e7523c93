"""What the heartbeat file tells, and to whom it does harm."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.executor.heartbeat import check_executor, write_heartbeat


@pytest.mark.parametrize(
    ("alive", "worked", "sentence"),
    [
        (0, 0, None),
        (7, 7, None),
        (0, None, "has not worked yet"),
        (0, 9, "has not worked for 9 s"),
        (9, 9, "The process that watches over the executor has been silent for 9 s"),
    ],
)
def test_what_the_file_tells(
    tmp_path: Path, alive: float, worked: float | None, sentence: str | None
) -> None:
    file, now = tmp_path / "heartbeat", time.monotonic()
    write_heartbeat(file, alive=now - alive, worked=None if worked is None else now - worked)
    if sentence is None:
        check_executor(file)
    else:
        with pytest.raises(FederationError, match=sentence):
            check_executor(file)


def test_an_executor_that_was_never_there_is_unwell(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match=r"has not written .*/none \(No such file"):
        check_executor(tmp_path / "none")


@pytest.mark.parametrize("content", ["", "1 2", "1 2 x", "a 1 1", "1 nan nan"])
def test_a_file_of_somebody_else_s_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content)
    with pytest.raises(FederationError, match="is no heartbeat of an executor"):
        check_executor(tmp_path / "file", restart=True)


@pytest.mark.parametrize(("silent", "killed"), [(25, True), (15, False)])
def test_only_a_watch_that_is_beyond_help_is_killed(
    tmp_path: Path, silent: float, killed: bool
) -> None:
    file, now = tmp_path / "heartbeat", time.monotonic()
    watch = subprocess.Popen(["sleep", "60"])
    os.kill(watch.pid, signal.SIGSTOP)
    write_heartbeat(file, alive=now - silent, worked=now - silent)
    file.write_text(file.read_text().replace(str(os.getpid()), str(watch.pid), 1))
    with pytest.raises(FederationError):
        check_executor(file)
    assert watch.poll() is None
    with pytest.raises(FederationError):
        check_executor(file, restart=True)
    if not killed:
        watch.kill()
        os.kill(watch.pid, signal.SIGCONT) if watch.poll() is None else None
    assert watch.wait(10) == -signal.SIGKILL
