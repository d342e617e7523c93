"""What the commands on a running federation print, and what they refuse."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.commands import fedstate
from tests.waiting import wait_until

from fedstate.local.member import Member, State
from fedstate.local.presence import Presence
from fedstate.local.process import Process


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".fedstate"


@pytest.fixture
def node(here: Path) -> Iterator[Member]:
    """A SuperNode of a federation in this directory, which this process keeps."""
    here.mkdir()
    code = "print('one\\ntwo\\nthree', flush=True); import signal; signal.pause()"
    command = [sys.executable, "-c", code]
    process = Process("SuperNode 1", command, dict(os.environ), here / "node-1" / "log")
    member = Member("supernode-1", process, here / "ca.crt")
    presence = Presence(here)
    presence.take()
    member.start()
    member.state = State.RUNNING
    presence.write("127.0.0.1:8000", [member])
    yield member
    member.stop()
    presence.release()


def test_status_is_a_table_json_or_csv(node: Member) -> None:
    table = fedstate("local", "status")
    assert table.exit_code == 0
    assert f"SuperLink at 127.0.0.1:8000; process {os.getpid()} keeps it." in table.stdout
    assert " .fedstate/node-1/log " in table.stdout
    told = json.loads(fedstate("local", "status", "--format", "json").stdout)
    assert told["process"] == os.getpid()
    assert told["address"] == "127.0.0.1:8000"
    (row,) = told["processes"]
    assert (row["name"], row["process"]) == ("supernode-1", node.process.pid)
    assert (row["restarts"], row["healthy"], row["health"]) == (0, True, "well")
    header, line = fedstate("local", "status", "--format", "csv").stdout.splitlines()
    assert header == "name,process,since,restarts,health,address,log"
    assert line.startswith(f"supernode-1,{node.process.pid},20")


def test_one_that_is_not_well_is_an_exit_code(node: Member) -> None:
    node.process.kill()
    done = fedstate("local", "status")
    assert done.exit_code == 1
    assert "It has ended." in done.stdout


@pytest.mark.parametrize("command", [("status",), ("restart", "1"), ("logs",)])
@pytest.mark.usefixtures("here")
def test_nothing_there_is_one_sentence(command: tuple[str, ...]) -> None:
    done = fedstate("local", *command)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "in .fedstate; `fedstate local up` starts one" in line


def test_logs_are_named_where_there_are_several(node: Member, here: Path) -> None:
    wait_until(node.process.log_file.read_text)
    (here / "node-1" / "executor").mkdir()
    (here / "node-1" / "executor" / "log").write_text("four\n")
    assert fedstate("local", "logs", "supernode-1", "--lines", "2").stdout == "two\nthree\n"
    assert fedstate("local", "logs", "1", "--lines", "1").stdout.splitlines() == [
        "supernode-1 | three",
        "executor-1  | four",
    ]
    unknown = fedstate("local", "logs", "2")
    assert unknown.exit_code == 1
    assert "There is no log of '2' in .fedstate" in unknown.stderr
