"""flwr's program of a ServerApp in this process, with what `prepare` puts into it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from flwr.cli.build import build_fab_from_files
from flwr.cli.install import install_from_fab
from flwr.superlink.grid import HttpGrid
from tests.contract.flower.in_process import SuperLink
from tests.contract.flower.in_process_run import Run
from tests.stack.executor.conftest import PROBE, probe_fab

from fedstate.executor import bare
from fedstate.executor.bare import Handover
from fedstate.executor.serverapp import WaitingGrid, prepare
from fedstate.flower.grid import TaskInputKept
from fedstate.flower.serverapp_program import loader, program
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel

SERVER_APP = """
from pathlib import Path
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

app = ServerApp()

@app.main()
def main(grid: Grid, context: Context) -> None:
    seen = [type(grid).__name__, str(context.run_id), str(sorted(grid.get_node_ids()))]
    Path({result!r}).write_text("\\n".join(seen))
"""


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """flwr's program as a ServerApp's process has it; put back afterwards."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    module = program()
    monkeypatch.setattr(module, "install_from_fab", install_from_fab)
    monkeypatch.setattr(module, "HttpGrid", HttpGrid)
    monkeypatch.setattr(module, "install_app_dependencies", module.install_app_dependencies)
    monkeypatch.setattr(module, "run_", module.run_)
    monkeypatch.setattr(loader(), "load_app", loader().load_app)
    monkeypatch.setattr(WaitingGrid, "kept", TaskInputKept())
    # What a process of one task registers would stay with this one.
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    # What other tests have imported here would be taken for preloaded.
    monkeypatch.setattr(bare, "_bare", [True])
    order = TaskOrder(TaskKind.SERVER_APP, 1, "token", "127.0.0.1:1", insecure=True)
    prepare(Handover(order, Channel.pair()[0], {}))
    return module


def test_serverapps_that_start_together_find_all_of_their_app(prepared: Any) -> None:
    fab = probe_fab(**{f"probe/part_{n}": f"number = {n}\n" for n in range(200)})

    def parts(_: int) -> int:
        place = prepared.install_from_fab(fab, skip_prompt=True)
        return len(list((place / "probe").glob("part_*.py")))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parts, range(8))) == [200] * 8


def test_flwrs_program_runs_the_app_with_our_grid_and_our_installation(
    prepared: Any, superlink: SuperLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tmp_path / "result"
    fab, _ = build_fab_from_files(
        {
            "pyproject.toml": (PROBE / "pyproject.toml")
            .read_bytes()
            .replace(b"probe.client_app:app", b"served.server_app:app"),
            "LICENSE": b"none",
            "served/__init__.py": b"",
            "served/server_app.py": SERVER_APP.format(result=str(result)).encode(),
        }
    )
    run = Run(superlink, fab, started=False)
    grids: list[WaitingGrid] = []
    installed: list[bytes] = []

    class Reaching(WaitingGrid):
        """Ours, at a SuperLink in this process."""

        def _connect(self) -> None:
            super()._connect()
            superlink.reach(self._runtime_client)
            grids.append(self)

    ours = prepared.install_from_fab
    assert prepared.HttpGrid is WaitingGrid
    monkeypatch.setattr(prepared, "HttpGrid", Reaching)

    def install(content: bytes, **options: Any) -> Path:
        installed.append(content)
        place: Path = ours(content, **options)
        return place

    monkeypatch.setattr(prepared, "install_from_fab", install)
    ends: list[Any] = []
    exits: list[Any] = []
    monkeypatch.setattr(
        prepared,
        "register_signal_handlers",
        lambda **options: ends.extend(options["exit_handlers"]),
    )
    monkeypatch.setattr(prepared, "flwr_exit", lambda **options: exits.append(options["code"]))
    monkeypatch.setattr(sys, "path", [*sys.path])
    prepared.run_serverapp(superlink.address, Queue(), run.order.token, insecure=True)
    for end in ends:
        end()
    assert result.read_text().splitlines()[:2] == ["Reaching", str(run.id)]
    assert installed == [fab]
    assert len(grids) == 1
    assert exits == [0]
    assert superlink.control().run_status(run.id) == "finished:completed"


# An output that takes longer to arrive than flwr gives it, the time in question made short.
_SLOW_OUTPUT = """
import sys, time
from flwr.supercore.exit import ExitCode, add_exit_handler, flwr_exit
from fedstate.flower import serverapp_program
seconds = float(sys.argv[1])
if seconds:
    serverapp_program.OUTPUT_SECONDS = seconds
    serverapp_program.rebind(install=0, provide=0, watch=0, grid=0, run=0)
add_exit_handler(lambda: (time.sleep(5.5), print("the output has arrived", flush=True)))
flwr_exit(ExitCode.SUCCESS, emit_telemetry=False)
"""


@pytest.mark.parametrize("seconds", [0, 60])
def test_the_output_has_longer_to_arrive_than_flwr_gives_it(seconds: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SLOW_OUTPUT, str(seconds)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ("the output has arrived" in ended.stdout) is bool(seconds)
