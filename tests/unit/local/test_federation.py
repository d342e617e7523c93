"""What a federation is made of, before anything of it runs, and how a start that fails ends."""

import socket
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from fedstate.errors import FederationError, SettingError
from fedstate.local.execute import execute
from fedstate.local.federation import Federation
from fedstate.local.process import Process, free_port
from fedstate.local.programs import STOCK, Programs
from fedstate.local.rooms import FederationRooms


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
    apis = [option(here.superlink, "--runtime")]
    apis += [f"127.0.0.1:{option(node.supernode, '--port')}" for node in here.nodes]
    for (server, executor), api in zip(pairs, apis, strict=True):
        assert option(executor, "--runtime-api-address") == api
        secret = "--superexec-auth-secret-file"
        assert option(executor, secret) == option(server, secret)
    assert len({*apis}) == len(pairs)
    for name in ("--superexec-auth-secret-file", "--ssl-keyfile"):
        assert len({option(server, name) for server, _ in pairs}) == len(pairs)


def test_every_node_has_a_key_and_a_partition_of_its_own(tmp_path: Path) -> None:
    supernodes = [node.supernode for node in federation(tmp_path).nodes]
    assert [option(each, "--node-config") for each in supernodes] == [
        "partition-id=0 num-partitions=2",
        "partition-id=1 num-partitions=2",
    ]
    assert len({option(each, "--auth-supernode-private-key") for each in supernodes}) == 2


def test_executors_and_servers_of_ours_share_a_socket(tmp_path: Path) -> None:
    here = federation(tmp_path)
    pairs = [(here.superlink, here.serverapp_executor)]
    pairs += [(node.supernode, node.executor) for node in here.nodes]
    sockets = [option(server, "--runtime-socket") for server, _ in pairs]
    assert sockets == [option(executor, "--runtime-socket") for _, executor in pairs]
    assert len({*sockets}) == len(pairs)
    assert all(Path(each).is_relative_to(tmp_path) for each in sockets)


@pytest.mark.parametrize(
    ("programs", "with_socket"),
    [
        (Programs(supernode=STOCK.supernode), ["superlink", "serverapp-executor"]),
        (Programs(superlink=STOCK.superlink), ["supernode-1", "executor-1"]),
        (
            Programs(clientapp_executor=STOCK.clientapp_executor),
            ["superlink", "serverapp-executor", "supernode-1"],
        ),
    ],
)
def test_flwrs_programs_are_told_of_no_socket(
    tmp_path: Path, programs: Programs, with_socket: list[str]
) -> None:
    here = Federation(tmp_path, nodes=1, programs=programs, start=execute)
    assert with_socket == [
        member.name for member in here.members if "--runtime-socket" in member.process.command
    ]


OURS_ALONE = {
    *("--heartbeat-file", "--rooms", "--output", "--closed-directory", "--closed-port"),
    "--runtime-socket",
}
# Where a SuperLink serves its APIs: ours on three ports, flwr's on one.
PLACES = {"--control", "--fleet", "--runtime", "--host", "--port", "--accounts", "--audit-log"}


def test_the_stock_programs_are_given_the_same_options(tmp_path: Path) -> None:
    ours, stock = federation(tmp_path), federation(tmp_path, STOCK)
    for mine, theirs in zip(ours.processes, stock.processes, strict=True):
        assert Path(theirs.command[0]).name.startswith("flower-")
        assert Path(theirs.command[0]).parent == Path(sys.executable).parent
        ignored = OURS_ALONE | (PLACES if mine is ours.superlink else set())
        common, given = (
            [each for each in command if each.startswith("--") and each not in ignored]
            for command in (mine.command, theirs.command)
        )
        assert common == given


def test_each_program_is_told_the_address_of_its_own_door(tmp_path: Path) -> None:
    here = federation(tmp_path)
    assert here.connection.address == option(here.superlink, "--control")
    for node in here.nodes:
        assert option(node.supernode, "--superlink") == option(here.superlink, "--fleet")


def test_a_superlink_of_flwrs_has_one_port(tmp_path: Path) -> None:
    here = federation(tmp_path, STOCK)
    assert here.connection.address == f"127.0.0.1:{option(here.superlink, '--port')}"
    for node in here.nodes:
        assert option(node.supernode, "--superlink") == here.connection.address
    assert option(here.serverapp_executor, "--runtime-api-address") == here.connection.address


def options(process: Process, name: str) -> list[str]:
    command = process.command
    return [after for each, after in pairwise(command) if each == name]


def test_a_federation_is_closed_to_its_apps_but_for_the_api_that_they_need(
    tmp_path: Path,
) -> None:
    here = federation(tmp_path)
    ports = {option(node.supernode, "--port") for node in here.nodes}
    for api in ("--control", "--fleet", "--runtime"):
        ports.add(option(here.superlink, api).rpartition(":")[2])
    assert len(ports) == 5
    rooms = {option(each, "--rooms") for each in here.executors}
    assert len(rooms) == len(here.executors)
    for executor in here.executors:
        own = option(executor, "--runtime-api-address").rpartition(":")[2]
        assert {own, *options(executor, "--closed-port")} == ports
        assert own not in options(executor, "--closed-port")
        closed = [Path(each) for each in options(executor, "--closed-directory")]
        assert tmp_path in closed
        # Those of the other executors, too: plain processes may all have one user.
        assert all(any(Path(room).is_relative_to(each) for each in closed) for room in rooms)


def test_options_of_executors_come_after_those_of_programs(tmp_path: Path) -> None:
    mine = ("fedstate", "executor", "--preload", "numpy")
    programs = Programs(clientapp_executor=mine, serverapp_executor=("flower-superexec",))
    here = Federation(
        tmp_path,
        nodes=1,
        programs=programs,
        start=execute,
        executor_options=("--preload", "none", "--max-memory", "2g"),
    )
    assert "--max-memory" not in here.serverapp_executor.command
    (executor,) = [node.executor for node in here.nodes]
    assert options(executor, "--preload") == ["numpy", "none"]
    assert executor.command[-2:] == ["--max-memory", "2g"]


def test_rooms_of_federations_are_apart_and_leave_nothing(tmp_path: Path) -> None:
    rooms, others = FederationRooms(tmp_path / "a"), FederationRooms(tmp_path / "b")
    assert rooms.directory != others.directory
    rooms.prepare()
    rooms.of("node-1").mkdir()
    (rooms.of("node-1") / ".lock").touch()
    (rooms.of("node-2") / "7").mkdir(parents=True)
    rooms.remove_if_empty()
    assert [each.name for each in rooms.directory.iterdir()] == ["node-2"], "a run's files stay"
    (rooms.of("node-2") / "7").rmdir()
    rooms.remove_if_empty()
    assert not rooms.directory.exists()


def test_rooms_in_somebody_else_s_place_are_refused(tmp_path: Path) -> None:
    rooms = FederationRooms(tmp_path)
    rooms.directory.symlink_to(tmp_path)
    try:
        with pytest.raises(SettingError, match="which is not a directory of this user"):
            rooms.prepare()
    finally:
        rooms.directory.unlink()


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
