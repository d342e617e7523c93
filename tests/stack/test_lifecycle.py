"""Starting and stopping a federation: what is started is stopped, and what fails is named."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.local.federation import Federation
from fedstate.local.programs import Programs
from tests.programs import PROGRAMS as LIGHT
from tests.readme import commands
from tests.stack.conftest import PROGRAMS, ROOT, command
from tests.waiting import wait_until

DEMO_SECONDS = 290.0


def test_a_node_that_does_not_connect_is_named(tmp_path: Path) -> None:
    with Federation(tmp_path, nodes=2, programs=LIGHT) as federation:
        federation.nodes[1].supernode.stop()
        with pytest.raises(FederationError, match="SuperNode 2 did not connect"):
            federation.wait_until_connected(seconds=1)


def test_a_program_that_does_not_start_is_named_and_the_rest_stopped(tmp_path: Path) -> None:
    federation = Federation(tmp_path, nodes=1, programs=Programs(supernode=("flwr", "new")))
    with pytest.raises(FederationError, match="SuperNode 1 ended while starting"):
        federation.start()
    assert not any(process.running for process in federation.processes)


def test_keys_and_registrations_survive_a_restart(tmp_path: Path) -> None:
    with Federation(tmp_path, nodes=1, programs=LIGHT) as federation:
        key = federation.nodes[0].public_key
    with Federation(tmp_path, nodes=1, programs=LIGHT) as federation:
        assert federation.nodes[0].public_key == key


@pytest.fixture
def demo(tmp_path: Path) -> tuple[Path, int, int]:
    """A demo's output, its nodes, and its rounds: in CI those of `make demo`, just before."""
    if os.environ.get("CI") == "true" and (ROOT / "out" / "demo").exists():
        return ROOT / "out" / "demo", 3, 5
    options = ("--rounds", "2", "--nodes", "2", "--output", tmp_path)
    answer = command("fedstate", "demo", *options, environment={}, seconds=DEMO_SECONDS)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return tmp_path, 2, 2


def test_the_demo_passes_and_leaves_its_results(demo: tuple[Path, int, int]) -> None:
    output, nodes, rounds = demo
    report = json.loads((output / "report.json").read_text())
    assert report["passed"] is True
    assert len(report["runs"]) == 2
    for run in report["runs"]:
        assert [len(node["entries"]) for node in run["nodes"]] == [rounds] * nodes
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert _of_directory(output) == []


@contextmanager
def started(output: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command that a test interrupts; it has ended afterwards in any case.

    Its executors preload little: nothing is run on them.
    """
    environment = {**os.environ, "FEDSTATE_EXECUTOR_PRELOAD": "numpy"}
    # A shell that runs the tests in its background lets them ignore Ctrl-C, and what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
            )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_make_demo_is_that_command() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.splitlines()[-1] == ".venv/bin/fedstate demo"


def test_a_federation_of_processes_stays_until_ctrl_c(tmp_path: Path) -> None:
    line, *_ = commands("Without Docker")
    output = tmp_path / "output"
    command = shlex.split(f"{PROGRAMS}/{line}")
    with started(output, *command, "--directory", tmp_path) as local:
        wait_until(lambda: "3 SuperNodes connected" in output.read_text(), 120)
        local.send_signal(signal.SIGINT)
        assert local.wait(60) == 0
    assert "Everything is stopped." in output.read_text()
    assert _of_directory(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "output"
    with started(output, PROGRAMS / "fedstate", "demo", "--output", tmp_path) as demo:
        wait_until(lambda: (tmp_path / "federation" / "node-1" / "log").exists(), 60)
        wait_until(lambda: {"superlink", "supernode"} <= _names_of(tmp_path))
        demo.send_signal(number)
        assert demo.wait(60) == 130
    assert _of_directory(tmp_path) == []
    assert "Traceback" not in output.read_text()


def test_no_docker_engine_is_said() -> None:
    answer = subprocess.run(
        ["make", "up"],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode != 0
    assert "fedstate: no Docker engine answers; start one" in answer.stderr


def _of_directory(directory: Path) -> list[str]:
    """Return the running processes that name a directory or write their output into it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                # Forks have the command line of the process that forked them.
                if str(directory) in line + str((entry / "fd" / "1").readlink()):
                    found.append(f"{(entry / 'comm').read_text().strip()}: {line}")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def _names_of(directory: Path) -> set[str]:
    return {found.partition(":")[0] for found in _of_directory(directory)}
