"""The executor in a federation with TLS and secrets, under the SuperLink and under SuperNodes."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.open_directory import new_directory
from tests.programs import PROGRAMS
from tests.stack.conftest import ROOT, command
from tests.stack.executor.conftest import children_of
from tests.waiting import wait_until

from fedstate.flower.control import control
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs

APP = ROOT / "tests" / "apps" / "counting"


@pytest.fixture(scope="module", params=["fedstate", "flower"])
def two_nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    """A federation whose SuperNodes are ours, and one whose SuperNodes are Flower's own."""
    supernode = (
        ("fedstate", "supernode") if request.param == "fedstate" else ("flower-supernode",)
    )
    programs = replace(PROGRAMS, supernode=supernode)
    directory = tmp_path_factory.mktemp(request.param)
    with Federation(directory, nodes=2, programs=programs) as running:
        yield running


def test_a_run_completes_in_forked_processes(two_nodes: Federation) -> None:
    result = new_directory() / "result.json"
    run_id = start(two_nodes, APP, {"rounds": 2, "result": str(result)})
    statuses = wait_for_runs(two_nodes, [run_id], 250)
    assert statuses == {run_id: "finished:completed"}
    assert [len(history) for history in json.loads(result.read_text())["histories"]] == [2, 2]


@pytest.mark.allowed_errors(r"SuperExec authentication failed")
def test_an_executor_with_another_secret_is_told_so(
    two_nodes: Federation, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"another")
    refused = command(
        *("fedstate", "executor", "--preload", "none"),
        *("--runtime-api-address", f"127.0.0.1:{two_nodes.nodes[0].port}"),
        *("--root-certificates", two_nodes.root_certificates),
        *("--superexec-auth-secret-file", tmp_path / "secret"),
        environment=two_nodes.environment,
    )
    assert refused.returncode == 1
    assert "refuses this executor (status 401): give both the same" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_executor_that_distrusts_the_server_says_so(two_nodes: Federation) -> None:
    refused = command(
        *("fedstate", "executor", "--preload", "none"),
        *("--runtime-api-address", f"127.0.0.1:{two_nodes.nodes[0].port}"),
        environment=two_nodes.environment,
    )
    assert refused.returncode == 1
    assert "is not signed by an authority that is trusted here" in refused.stderr
    assert "Traceback" not in refused.stderr


# The nodes still reply to the run that has failed.
@pytest.mark.allowed_errors(r"was ended by SIGKILL", r"Invalid run ID for Message")
def test_a_killed_serverapp_is_reported_at_once(two_nodes: Federation) -> None:
    run_id = start(two_nodes, APP, {"rounds": 1000})
    # A process that dies before it has begun is started again, and the run goes on.
    with control(two_nodes.connection) as link:
        wait_until(lambda: link.run_status(run_id) == "running")
    (executor,) = children_of(two_nodes.serverapp_executor.pid)
    (fork_server,) = children_of(executor)
    (room,) = children_of(fork_server)
    (serverapp,) = children_of(room)
    os.kill(serverapp, signal.SIGKILL)
    # Sooner than the 60 s after which the SuperLink misses its heartbeat.
    assert wait_for_runs(two_nodes, [run_id], 40) == {run_id: "finished:failed"}
    # What is reported is logged once the report has arrived.
    log = two_nodes.serverapp_executor.log_file
    wait_until(lambda: "was ended by SIGKILL" in log.read_text())
