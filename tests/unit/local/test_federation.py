"""What a federation is made of, before anything of it runs, and how a start that fails ends."""

import socket
import sys
from pathlib import Path

import pytest

from fedstate.errors import FederationError, SettingError
from fedstate.local.execute import execute
from fedstate.local.federation import STOCK, Federation, Programs
from fedstate.local.process import Process, free_port


def federation(directory: Path, programs: Programs | None = None) -> Federation:
    return Federation(directory, nodes=2, port=free_port(), programs=programs, start=execute)


def option(process: Process, name: str) -> str:
    return process.command[process.command.index(name) + 1]


def test_no_nodes_are_no_federation(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="A federation of 0 nodes cannot be"):
        Federation(tmp_path, nodes=0)


def test_every_executor_reaches_its_own_api_with_its_own_secret(tmp_path: Path) -> None:
    here = federation(tmp_path)
    pairs = [(here.superlink, here.serverapp_executor)]
    pairs += [(node.supernode, node.executor) for node in here.nodes]
    for server, executor in pairs:
        address = option(executor, "--runtime-api-address")
        assert address == f"127.0.0.1:{option(server, '--port')}"
        secret = "--superexec-auth-secret-file"
        assert option(executor, secret) == option(server, secret)
    for name in ("--port", "--superexec-auth-secret-file", "--ssl-keyfile"):
        assert len({option(server, name) for server, _ in pairs}) == len(pairs)


def test_every_node_has_a_key_and_a_partition_of_its_own(tmp_path: Path) -> None:
    supernodes = [node.supernode for node in federation(tmp_path).nodes]
    assert [option(each, "--node-config") for each in supernodes] == [
        "partition-id=0 num-partitions=2",
        "partition-id=1 num-partitions=2",
    ]
    assert len({option(each, "--auth-supernode-private-key") for each in supernodes}) == 2


def test_the_stock_programs_are_given_the_same_options(tmp_path: Path) -> None:
    ours, stock = federation(tmp_path), federation(tmp_path, STOCK)
    for mine, theirs in zip(ours.processes, stock.processes, strict=True):
        assert Path(theirs.command[0]).name.startswith("flower-")
        assert Path(theirs.command[0]).parent == Path(sys.executable).parent
        mine_options = [each for each in mine.command if each.startswith("--")]
        assert mine_options == [each for each in theirs.command if each.startswith("--")]


def test_flwr_and_fedstate_find_it_by_its_environment(tmp_path: Path) -> None:
    here = federation(tmp_path)
    assert here.environment["FLWR_HOME"] == str(tmp_path / "flwr")
    assert here.environment["FEDSTATE_RUNS"] == str(here.runs_directory)


def test_a_program_that_does_not_start_is_said_with_its_log(tmp_path: Path) -> None:
    failing = Programs(superlink=("python", "-c", "raise SystemExit('no room')"))
    here = federation(tmp_path, failing)
    with pytest.raises(FederationError, match=r"(?s)the SuperLink ended while starting.*no room"):
        here.start()
    assert not any(each.running for each in here.processes)
    assert not (tmp_path / "node-1" / "log").exists()


def test_a_port_that_is_taken_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        here = Federation(tmp_path / "new", nodes=1, port=port, start=execute)
        with pytest.raises(FederationError, match=f"Port {port} .*cannot be used"):
            here.start()
    assert not (tmp_path / "new").exists()
