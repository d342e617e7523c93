"""Flower's Simulation Engine, on a port of our own."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from fedstate.local.process import Process, free_port
from tests.readme import commands
from tests.stack.conftest import PROGRAMS, command
from tests.waiting import wait_until


class Simulation:
    """A local SuperLink that simulates, on a port by which ``flwr run`` finds it."""

    def __init__(self, directory: Path) -> None:
        port = str(free_port())
        self.environment = {
            "FLWR_HOME": str(directory / "flwr"),
            "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": port,
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FEDSTATE_RUNS": str(directory / "runs"),
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "HOME": str(directory),
        }
        program = [
            str(PROGRAMS / "flower-superlink"), "--insecure", "--simulation",
            *("--host", "127.0.0.1", "--port", port, "--isolation", "subprocess"),
            "--disable-runtime-dependency-installation",
        ]  # fmt: skip
        self._superlink = Process("the simulation", program, self.environment, directory / "log")

    def submit(self, app: Path, config: str) -> str:
        """Start a run; return its id."""
        started = command(
            *("flwr", "run", app, "simulation", "--format", "json", "-c", config),
            environment=self.environment,
        )
        run_id: str = json.loads(started.stdout)["run-id"]
        return run_id

    def wait(self, run_id: str, seconds: float) -> None:
        """Wait until a run has completed."""

        def status() -> str:
            listing = command(
                *("flwr", "list", "simulation", "--run-id", run_id, "--format", "json"),
                environment=self.environment,
            )
            return str(json.loads(listing.stdout)["runs"][0]["status"])

        wait_until(lambda: status().startswith("finished"), seconds, "the end of the run")
        assert status() == "finished:completed"

    def __enter__(self) -> Self:
        # All that the README has somebody do who has set up nothing else; this SuperLink installs
        # nothing, whatever is exported.
        connect, export, _ = commands("In simulation")
        assert export == "export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1"
        done = command(*connect.split(), environment=self.environment)
        assert done.returncode == 0, done.stderr
        self._superlink.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._superlink.stop()
