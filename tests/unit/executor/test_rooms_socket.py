"""Tasks reach the Unix socket of their server from behind the walls of their runs."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.unit.executor.conftest import order, settings, settle
from tests.unit.executor.test_pool import MakePool, run_to_the_end

from fedstate.errors import SettingError
from fedstate.executor.rooms import Rooms
from fedstate.unix_sockets import PASSAGE_MODE, BoundSocket, listen

pytestmark = pytest.mark.usefixtures("walls")


@pytest.fixture
def socket_of_a_server(directory: Path) -> Iterator[BoundSocket]:
    """A socket that says "here" to whoever connects, in directories as a node has them."""
    node = directory / "node"
    (node / "runtime").mkdir(parents=True)
    (node / "runtime").chmod(PASSAGE_MODE)
    node.chmod(0o700)
    bound = listen(node / "runtime" / "api.sock", 16, what="API")
    bound.socket.setblocking(True)

    def serve() -> None:
        with contextlib.suppress(OSError):  # it is shut down
            while True:
                connection, _ = bound.socket.accept()
                with connection:
                    connection.sendall(b"here")

    thread = threading.Thread(target=serve)
    thread.start()
    yield bound
    bound.socket.shutdown(socket.SHUT_RDWR)
    thread.join()
    bound.socket.close()


@pytest.mark.parametrize("forks", [True, False])
def test_a_task_reaches_the_socket_of_its_server(
    make_pool: MakePool, directory: Path, socket_of_a_server: BoundSocket, *, forks: bool
) -> None:
    path = socket_of_a_server.path
    given = settings(directory, socket=path, closed_directories=(path.parent.parent,))
    pool = make_pool(rooms=given, forks=forks)
    settle(pool, lambda: pool.ready)
    ordered = order(f"started reach:{directory}/reached finished")
    pool.launch(replace(ordered, runtime_api_socket=str(path)))
    run_to_the_end(pool)
    by, said = json.loads((directory / "reached").read_text())
    assert said == "here"
    assert pool.rooms is not None
    assert by.startswith("/proc/self/fd/") == pool.rooms.offered.users


def test_a_socket_that_no_run_reaches_is_said(
    directory: Path, socket_of_a_server: BoundSocket, walls: str
) -> None:
    path = socket_of_a_server.path
    path.parent.chmod(0o700)
    given = settings(directory, socket=path)
    if walls == "Landlock alone":
        Rooms(given, "127.0.0.1:1").close_all()
        return
    problem = rf"--runtime-socket is '{path}', and the runs, .*: `chmod o\+x '{path.parent}'`"
    with pytest.raises(SettingError, match=problem):
        Rooms(given, "127.0.0.1:1")


def test_a_socket_in_shared_memory_is_refused_with_the_reason(
    directory: Path, walls: str
) -> None:
    """Each run has shared memory of its own, in which the socket is not."""
    with TemporaryDirectory(dir="/dev/shm") as memory:
        given = settings(directory, socket=Path(memory) / "api.sock")
        if walls == "Landlock alone":
            Rooms(given, "127.0.0.1:1")  # runs share a user, and all of /dev/shm
            return
        with pytest.raises(SettingError, match="each run has a /dev/shm of its own"):
            Rooms(given, "127.0.0.1:1")
