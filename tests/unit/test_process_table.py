"""Whether a process is stopped, whatever it is called."""

import os
import signal
import subprocess
from pathlib import Path

from fedstate.process_table import is_stopped
from tests.waiting import wait_until


def test_a_process_is_stopped_until_it_goes_on() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert not is_stopped(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid))
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: not is_stopped(process.pid))
    finally:
        process.kill()
        process.wait()
    assert not is_stopped(process.pid)


def test_a_name_does_not_count(tmp_path: Path) -> None:
    program = tmp_path / "a) T (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "60"])
    try:
        wait_until(lambda: ") T (b" in Path(f"/proc/{process.pid}/stat").read_text())
        assert not is_stopped(process.pid)
    finally:
        process.kill()
        process.wait()
