"""Who runs a federation is known while it runs, and what it left when it was killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.local.member import Member
from fedstate.local.presence import Presence
from fedstate.local.process import Process
from tests.waiting import wait_until

_HOLDS = """
import pathlib, signal, sys
from fedstate.local.presence import Presence
Presence(pathlib.Path(sys.argv[1])).take()
print("held", flush=True)
signal.pause()
"""
# It has a child, and does not end when it is asked to.
_STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def another(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of the directory."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def member(directory: Path, code: str) -> Member:
    command = [sys.executable, "-c", code]
    process = Process("SuperNode 1", command, dict(os.environ), directory / "node-1" / "log")
    return Member("supernode-1", process, directory / "ca.crt")


def test_one_process_has_it_until_it_ends(tmp_path: Path, another: subprocess.Popen[str]) -> None:
    here = Presence(tmp_path)
    assert here.is_held
    with pytest.raises(FederationError, match=f"is being started in {tmp_path}"):
        here.take()
    another.kill()
    another.wait()
    assert not here.is_held
    here.take()
    here.take()
    assert Presence(tmp_path).is_held
    here.release()
    assert not Presence(tmp_path).is_held


def test_who_has_it_is_named(tmp_path: Path, another: subprocess.Popen[str]) -> None:
    Presence(tmp_path).write("127.0.0.1:8000", [])
    with pytest.raises(FederationError) as raised:
        Presence(tmp_path).take()
    assert str(raised.value) == (
        f"A federation runs already in {tmp_path}: its SuperLink is at 127.0.0.1:8000, and "
        f"process {os.getpid()} keeps it. `fedstate local status --directory {tmp_path}` shows "
        f"it, `fedstate local stop --directory {tmp_path}` stops it."
    )


def test_nothing_is_known_of_a_directory_that_nobody_used(tmp_path: Path) -> None:
    nowhere = Presence(tmp_path / "nowhere")
    assert not nowhere.is_held
    assert nowhere.read() is None
    assert nowhere.end_leftovers() == 0
    assert not (tmp_path / "nowhere").exists()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    node = member(tmp_path, "import signal; signal.pause()")
    here = Presence(tmp_path)
    here.write("a:1", [node])
    record = here.read()
    assert record is not None
    assert (record.address, record.pid, record.left) == ("a:1", os.getpid(), [])
    node.start()
    here.write("a:1", [node])
    record = here.read()
    assert record is not None
    (found,) = record.left
    assert (found.name, found.title, found.pid) == (
        "supernode-1",
        "SuperNode 1",
        node.process.pid,
    )
    node.stop()
    assert record.left == []
    assert (tmp_path / "federation.json").stat().st_mode & 0o777 == 0o600


def test_another_process_of_the_same_number_is_not_meant(tmp_path: Path) -> None:
    node = member(tmp_path, "import signal; signal.pause()")
    node.start()
    here = Presence(tmp_path)
    here.write("a:1", [node])
    file = tmp_path / "federation.json"
    content = json.loads(file.read_text())
    content["processes"][0]["started"] += 1
    file.write_text(json.dumps(content))
    assert here.end_leftovers() == 0
    assert node.process.running
    node.stop()


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"pid": 1}', "\x00"])
def test_a_record_that_is_none_is_not_taken_for_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "federation.json").write_text(content)
    with pytest.raises(FederationError, match=r"federation\.json does not say what runs"):
        Presence(tmp_path).read()


def test_what_was_left_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.local.presence._STOP_SECONDS", 0.2)
    node = member(tmp_path, _STUBBORN)
    node.start()
    child = int(wait_until(node.process.log_file.read_text))
    here = Presence(tmp_path)
    here.write("a:1", [node])
    assert here.end_leftovers() == 1
    wait_until(lambda: not node.process.running)
    assert node.process.ending.code == -signal.SIGKILL
    wait_until(lambda: not Path(f"/proc/{child}").exists())
    assert here.read() is None
