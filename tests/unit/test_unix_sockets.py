"""Unix sockets: listened on and connected to by any path, stale files, and what is said."""

import contextlib
import os
import re
import socket
import stat
import threading
from pathlib import Path

import pytest

from fedstate.errors import FederationError, SettingError
from fedstate.unix_sockets import (
    MOST_PATH_BYTES,
    BoundSocket,
    by_descriptor,
    checked,
    connect,
    hold_directory,
    listen,
)


def bound_at(path: Path) -> BoundSocket:
    return listen(path, 4, what="SuperNode's API")


def exchange(bound: BoundSocket, path: Path) -> bytes:
    """Connect by a path, and return what the server there says."""
    with connect(path, 10) as client:
        bound.socket.setblocking(True)
        connection, _ = bound.socket.accept()
        with connection:
            connection.sendall(b"here")
        return client.recv(16)


def long_path(directory: Path) -> Path:
    for number in range(4):
        directory /= f"a-directory-with-a-long-name-{number}"
    directory.mkdir(parents=True)
    path = directory / "api.sock"
    assert len(os.fsencode(path)) > MOST_PATH_BYTES
    return path


@pytest.mark.parametrize("long", [False, True])
def test_a_path_of_any_length_is_served_and_reached(tmp_path: Path, long: bool) -> None:
    path = long_path(tmp_path) if long else tmp_path / "api.sock"
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    bound = bound_at(path)
    assert exchange(bound, path) == b"here"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o666
    bound.close()
    assert not path.exists()
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def test_it_is_reached_by_a_directory_that_is_held(tmp_path: Path) -> None:
    bound = bound_at(tmp_path / "api.sock")
    held = hold_directory(tmp_path)
    assert not os.get_inheritable(held)
    try:
        assert exchange(bound, Path(by_descriptor(held, "api.sock"))) == b"here"
    finally:
        os.close(held)
        bound.socket.close()


def test_the_file_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    killed = bound_at(path)
    killed.socket.close()
    assert path.is_socket()
    after = bound_at(path)
    assert exchange(after, path) == b"here"
    killed.close()
    assert path.is_socket(), "it is the other server's by now"
    after.close()
    assert not path.exists()


def test_a_server_that_lives_is_named_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    first = bound_at(path)
    problem = f"SuperNode's API cannot be served on '{path}', where another server listens: .*"
    with first.socket, pytest.raises(FederationError, match=problem):
        bound_at(path)
    assert path.is_socket()


def test_a_server_that_accepts_nobody_lives_too(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    first = listen(path, 0, what="API")
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(str(path))
    with first.socket, pytest.raises(FederationError, match="another server listens"):
        bound_at(path)
    for each in waiting:
        each.close()


def test_of_servers_that_start_at_once_one_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "api.sock"
    bound_at(path).socket.close()
    both, unlink = threading.Barrier(2), Path.unlink

    def unlink_together(file: Path) -> None:
        """Wait for another server that has found the same stale socket, which must not come."""
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)
        unlink(file)

    monkeypatch.setattr(Path, "unlink", unlink_together)
    served: list[BoundSocket] = []
    refused: list[FederationError] = []

    def start() -> None:
        try:
            served.append(listen(path, 16, what="API"))
        except FederationError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(served), len(refused)) == (1, 3)
    connect(path, 10).close()
    served[0].close()
    assert not path.exists()


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("somebody's")
    with pytest.raises(FederationError, match="which is a file and no socket: give another"):
        bound_at(path)
    assert path.read_text() == "somebody's"


def test_a_directory_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(
        FederationError, match=rf"^The SuperNode's API .* on '{path}' \(File name"
    ):
        bound_at(path)
    gone = tmp_path / "gone" / "api.sock"
    with pytest.raises(FederationError, match=r"\(No such file or directory\); give a file in a"):
        bound_at(gone)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_directory_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(tmp_path)
            os.setresuid(65534, 65534, 65534)
            listen(Path("api.sock"), 4, what="API")
        except FederationError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    assert re.fullmatch(
        r"The API cannot be served on 'api\.sock' \(Permission denied\); give a file in a "
        r"directory that this user may write to with --runtime-socket\.",
        text,
    )


def test_an_option_names_a_file_in_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checked(None) is None
    monkeypatch.chdir(tmp_path)
    assert checked(Path("api.sock")) == tmp_path / "api.sock"
    with pytest.raises(SettingError, match=r"^--runtime-socket is 'gone/api.sock', and there is"):
        checked(Path("gone/api.sock"))


def test_nobody_listens_is_an_error(tmp_path: Path) -> None:
    bound = bound_at(tmp_path / "api.sock")
    bound.socket.close()
    with pytest.raises(ConnectionRefusedError):
        connect(bound.path)
    with pytest.raises(FileNotFoundError):
        connect(tmp_path / "gone")


def test_connecting_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    full = listen(path, 0, what="API")
    first = connect(path, 1)
    done = threading.Event()

    def try_again() -> None:
        try:
            connect(path, 0.05)
        except TimeoutError:
            done.set()

    thread = threading.Thread(target=try_again)
    thread.start()
    thread.join(10)
    assert done.is_set()
    first.close()
    full.socket.close()
