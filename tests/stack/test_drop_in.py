"""Flower's command lines with our programs beside Flower's: no TLS, no key, `subprocess`."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedstate.local.process import Process, free_port
from fedstate.process_table import living
from tests.open_directory import new_directory
from tests.stack.executor.conftest import children_of
from tests.waiting import wait_until

PROGRAMS = Path(sys.executable).parent
APP = Path(__file__).parents[1] / "apps" / "counting"
SECONDS = 120.0


class PlainFederation:
    """A SuperLink and one SuperNode as Flower's quickstart has them."""

    def __init__(self, directory: Path, superlink: str, supernode: str) -> None:
        self.directory = directory
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(directory / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            # The app needs no TensorFlow, which takes longer to import than its run.
            "FEDSTATE_EXECUTOR_PRELOAD": "numpy",
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        }
        self.port = free_port()
        self.superlink = self._process(
            "superlink",
            f"{superlink} --insecure",
            *("--port", str(self.port), "--database", str(directory / "superlink.db")),
        )
        # What one types for Flower's own, word for word.
        self.supernode = self._process(
            "supernode",
            f"{supernode} --insecure",
            *("--superlink", f"127.0.0.1:{self.port}", "--port", str(free_port())),
            *("--node-config", "partition-id=0 num-partitions=1"),
        )
        config = directory / "flwr" / "config.toml"
        config.parent.mkdir()
        config.write_text(
            f'[superlink.plain]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\n'
        )

    def _process(self, name: str, program: str, *options: str) -> Process:
        command = [str(PROGRAMS / program.split()[0]), *program.split()[1:], *options]
        return Process(name, command, self.environment, self.directory / f"{name}.log")

    def start(self) -> None:
        self.superlink.start()
        wait_until(self._listens, SECONDS, "the SuperLink")
        self.supernode.start()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def flwr(self, *arguments: str | Path) -> Any:
        done = subprocess.run(
            [PROGRAMS / "flwr", *arguments, "--format", "json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return json.loads(done.stdout)

    def run(self, name: str) -> list[float]:
        """Run the app to its end and return the node's history."""
        result = new_directory() / name
        config = f"rounds=2 nodes=1 resend=true result={json.dumps(str(result))}"
        self.flwr("run", APP, "plain", "--run-config", config)
        wait_until(result.exists, SECONDS, f"the result {name}")
        (history,) = json.loads(result.read_text())["histories"]
        found: list[float] = history
        return found

    def node_ids(self) -> set[str]:
        nodes = self.flwr("supernode", "list", "plain")["nodes"]
        return {node["node-id"] for node in nodes}


@contextmanager
def running(directory: Path, superlink: str, supernode: str) -> Iterator[PlainFederation]:
    federation = PlainFederation(directory, superlink, supernode)
    try:
        federation.start()
        yield federation
    finally:
        federation.supernode.stop()
        federation.superlink.stop()


def test_flower_supernodes_command_line_works_and_the_node_stays_the_same(tmp_path: Path) -> None:
    with running(tmp_path, "flower-superlink", "fedstate supernode") as federation:
        assert len(federation.run("first")) == 2
        before = federation.node_ids()
        os.kill(federation.supernode.pid, signal.SIGKILL)
        wait_until(lambda: not federation.supernode.running, SECONDS, "the kill")
        federation.supernode.start()
        assert len(federation.run("second")) == 2
        assert federation.node_ids() == before


def test_both_of_ours_start_executors_of_ours_which_end_with_them(tmp_path: Path) -> None:
    with running(tmp_path, "fedstate superlink", "fedstate supernode") as federation:
        assert len(federation.run("first")) == 2
        executors = [
            child
            for process in (federation.superlink, federation.supernode)
            for child in children_of(process.pid)
        ]
        commands = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in executors]
        assert all(each[1:5] == ["-P", "-m", "fedstate", "executor"] for each in commands)
        assert len(executors) == 2
        for process in (federation.supernode, federation.superlink):
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(living, executors)), SECONDS, "the end of the executors")


def test_flowers_own_supernode_works_with_our_superlink(tmp_path: Path) -> None:
    with running(tmp_path, "fedstate superlink", "flower-supernode") as federation:
        assert len(federation.run("first")) == 2
