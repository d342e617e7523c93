"""`fedstate local up` and the commands of other terminals, on real processes that are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedstate.connection import Connection, read_connection
from fedstate.local.process import Process
from fedstate.local.runs import start, wait_for_runs
from fedstate.process_table import living
from tests.commands import fedstate
from tests.federation_logs import AFTER_A_KILL
from tests.open_directory import new_directory
from tests.readme import commands
from tests.waiting import wait_until

APP = Path(__file__).parents[2] / "apps" / "counting"
RUN_SECONDS = 180.0

pytestmark = pytest.mark.allowed_errors(*AFTER_A_KILL)


@dataclass
class Up:
    """A federation that `fedstate local up` keeps in a process of its own."""

    directory: Path
    process: Process

    @property
    def connection(self) -> Connection:
        return read_connection("local")

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def said(self) -> str:
        return self.process.log_file.read_text()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what `status` says of each process; {} where it says that none is kept."""
        done = fedstate("local", "status", "--directory", self.directory, "--format", "json")
        result = json.loads(done.stdout)
        assert (done.exit_code == 0) == all(each["healthy"] for each in result["processes"])
        return {each["name"]: each for each in result["processes"]}

    def healthy(self) -> bool:
        return all(each["healthy"] for each in self.status().values())

    def kill(self, *names: str) -> None:
        """End processes as a crash does."""
        status = self.status()
        for name in names:
            os.kill(status[name]["process"], signal.SIGKILL)

    def submit(self, **config: int | str | bool) -> tuple[int, Path]:
        """Start a run whose first node waits in round 1 for the file that is returned."""
        place = new_directory()
        settings: dict[str, Any] = {"rounds": 2, "resend": True, "pause-round": 1, **config}
        settings |= {"pause": str(place / "go"), "result": str(place / "result.json")}
        run_id = start(self, APP, settings)
        wait_until((place / "go.reached").exists, 90, "the pause")
        return run_id, place / "go"


def start_up(directory: Path, log: Path) -> Process:
    command = [
        *(sys.executable, "-m", "fedstate", "local", "up", "--nodes", "2", "--preload", "numpy"),
        *("--directory", str(directory)),
    ]
    process = Process("local up", command, dict(os.environ), log)
    process.start()
    wait_until(lambda: "SuperNodes connected" in log.read_text() or not process.running, 120)
    assert process.running, log.read_text()
    return process


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    place = tmp_path_factory.mktemp("local")
    federation = Up(place / "federation", start_up(place / "federation", place / "said"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLWR_HOME", str(federation.directory / "flwr"))
        yield federation
    fedstate("local", "stop", "--directory", federation.directory)
    federation.process.stop()


def test_what_is_killed_is_back_and_a_run_goes_on(up: Up) -> None:
    wait_until(up.healthy, 90)
    before = up.status()
    run_id, go = up.submit()
    killed = ("supernode-1", "executor-2", "superlink")
    up.kill(*killed)
    go.touch()
    wait_until(lambda: up.status()["superlink"]["restarts"] == 1 and up.healthy(), 120)
    after = up.status()
    for name, process in after.items():
        assert (process["process"] != before[name]["process"]) == (name in killed)
        assert process["restarts"] == (name in killed)
    assert "SuperNode 1 was ended by SIGKILL" in up.said
    assert "The SuperLink is back, as process" in up.said
    assert wait_for_runs(up, [run_id], RUN_SECONDS) == {run_id: "finished:completed"}


def test_the_serverapps_executor_is_back_for_the_next_run(up: Up) -> None:
    up.kill("serverapp-executor")
    wait_until(lambda: up.status()["serverapp-executor"]["restarts"] == 1)
    assert "The ServerApps that it ran have ended, and their runs fail" in up.said
    run_id, go = up.submit(rounds=1)
    go.touch()
    assert wait_for_runs(up, [run_id], RUN_SECONDS) == {run_id: "finished:completed"}


def test_a_supernode_and_its_executor_are_restarted_when_somebody_asks(up: Up) -> None:
    wait_until(up.healthy, 90)
    before = up.status()
    done = fedstate("local", "restart", "2", "--directory", up.directory)
    assert done.exit_code == 0, done.stderr
    after = up.status()
    changed = {name for name in after if before[name]["process"] != after[name]["process"]}
    assert changed == {"supernode-2", "executor-2"}
    assert done.stdout.splitlines() == [
        f"SuperNode 2 was started again, as process {after['supernode-2']['process']}.",
        f"SuperNode 2's executor was started again, as process {after['executor-2']['process']}.",
    ]
    wrong = fedstate("local", "restart", "3", "--directory", up.directory)
    assert wrong.exit_code == 1
    assert "There is no '3' in this federation" in wrong.stderr


def test_the_readme_has_the_commands_that_are_tried_here() -> None:
    tried = Path(__file__).read_text()
    for line in commands("Without Docker"):
        _, group, command, *_ = line.split()
        assert f'"{group}", "{command}"' in tried


def test_a_second_one_says_that_one_is_there(up: Up) -> None:
    done = fedstate("local", "up", "--directory", up.directory)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    named = f"--directory {up.directory}"
    assert line == (
        f"fedstate: A federation runs already in {up.directory}: its SuperLink is at "
        f"{up.connection.address}, and process {up.process.pid} keeps it. "
        f"`fedstate local status {named}` shows it, `fedstate local stop {named}` stops it."
    )
    assert up.healthy()


def test_logs_are_shown_and_followed(up: Up) -> None:
    done = fedstate("local", "logs", "1", "--lines", "2", "--directory", up.directory)
    assert [line.split("|")[0].strip() for line in done.stdout.splitlines()] == [
        *("supernode-1", "supernode-1", "executor-1", "executor-1")
    ]
    command = [sys.executable, "-m", "fedstate", "local", "logs", "superlink", "--follow"]
    log = up.directory / "superlink" / "log"
    with log.open("a") as written:
        written.write("a line that was there\n")
    with subprocess.Popen(
        [*command, "--directory", str(up.directory)],
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        try:
            assert following.stdout is not None
            # When a line that was there has been shown, the end of the log is known.
            assert any("a line that was there" in line for line in following.stdout)
            with log.open("a") as written:
                written.write("a line that comes now\n")
            assert any("a line that comes now" in line for line in following.stdout)
        finally:
            following.terminate()


def test_its_health_is_asked_for_by_address(up: Up) -> None:
    done = fedstate("health", up.connection.address)
    assert (done.exit_code, done.stdout) == (0, f"{up.connection.address} is well.\n")


def test_what_a_killed_one_left_is_named_and_ended(up: Up) -> None:
    """The last test: of what it kills nothing is left for others."""
    wait_until(up.healthy, 90)
    pids = [each["process"] for each in up.status().values()]
    os.kill(up.process.pid, signal.SIGKILL)
    wait_until(lambda: not up.process.running)
    done = fedstate("local", "status", "--directory", up.directory)
    assert done.exit_code == 1
    assert "was killed; 6 of its processes still run" in done.stderr
    refused = fedstate("local", "restart", "2", "--directory", up.directory)
    assert "was killed; 6 of its processes still run" in refused.stderr
    stopped = fedstate("local", "stop", "--directory", up.directory)
    assert stopped.stdout.startswith("6 processes of an earlier `fedstate local up` were left")
    assert not any(living(pid) for pid in pids)
    nothing = fedstate("local", "status", "--directory", up.directory)
    assert nothing.exit_code == 1
    assert f"No federation runs in {up.directory}" in nothing.stderr
    idle = fedstate("local", "stop", "--directory", up.directory)
    assert (idle.exit_code, idle.stdout) == (0, f"No federation runs in {up.directory}.\n")
