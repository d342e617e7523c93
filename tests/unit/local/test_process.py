import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fedstate.certificates.authority import ensure_authority
from fedstate.errors import FederationError, SettingError
from fedstate.local.process import Process, check_port, free_port, last_lines
from fedstate.process_table import living
from tests.waiting import wait_until


def test_a_taken_port_is_said_with_its_number() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(FederationError, match=f"Port {port} .* cannot be used"):
            check_port(port)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_that_cannot_be_is_said_with_its_number(port: int) -> None:
    with pytest.raises(SettingError, match=f"Port {port} cannot be; choose one from 1 to 65535"):
        check_port(port)


def test_a_free_port_can_be_used() -> None:
    check_port(free_port())


def test_a_port_is_given_to_one_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from fedstate.local.process import free_port; print(free_port(), flush=True); input()"
    ours = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        check_port(theirs)  # nobody listens on it yet
        free = free_port()
        tried = iter([theirs, ours, free, free + 1, free + 2, free + 3])
        monkeypatch.setattr(random.SystemRandom, "randint", lambda *_: next(tried))
        assert free_port() > free
        assert other.poll() is None
        other.communicate("\n")


def test_a_program_that_ends_while_starting_is_said_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
    process = Process("the SuperLink", command, dict(os.environ), tmp_path / "log")
    process.start()
    ensure_authority(tmp_path)
    with pytest.raises(FederationError, match=r"(?s)the SuperLink ended while.*no room"):
        process.wait_until_healthy(free_port(), tmp_path / "ca.crt", 30)


def test_stopping_ends_what_the_program_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    process = Process(
        "a parent", [sys.executable, "-c", code], dict(os.environ), tmp_path / "log"
    )
    process.start()
    log = tmp_path / "log"
    wait_until(lambda: log.read_text().endswith("\n"))
    child = int(log.read_text())
    process.stop()
    assert not process.running
    wait_until(lambda: not living(child))


def test_the_last_lines_of_a_log_are_read_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 200_000 + b"\n" + b"one\ntwo\xff\nthree\n\n")
    assert last_lines(file, 2) == ["two\ufffd", "three"]
    assert len(last_lines(file, 4)[0]) < 20_000


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    process = Process("the SuperLink", ["true"], {}, tmp_path / "log")
    assert process.log_end() == (
        f"Its log {tmp_path}/log cannot be read (No such file or directory)."
    )


def test_how_it_ended_is_known(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    process = Process("the SuperLink", command, dict(os.environ), tmp_path / "log")
    process.start()
    wait_until(lambda: not process.running)
    assert str(process.ending) == "ended with exit code 3"
