"""Whom a connection counts for: an address, a network of IPv6, a user of this machine."""

import os
import socket
from pathlib import Path

import pytest

from fedstate.serving.peers import network_of, peer_of
from fedstate.unix_sockets import connect, listen


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_peer_is_an_address_or_a_network_of_ipv6(address: str, peer: str) -> None:
    assert network_of(address) == peer


def test_a_peer_on_a_port_is_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()):
            connection, address = server.accept()
        with connection:
            assert peer_of(connection, address) == "127.0.0.1"


@pytest.mark.parametrize("user", [None, 65534])
def test_a_peer_on_a_unix_socket_is_its_user(tmp_path: Path, user: int | None) -> None:
    if user is not None and os.geteuid():
        pytest.skip("only root can be another user")
    bound = listen(tmp_path / "socket", 4, what="API")
    bound.socket.setblocking(True)
    with bound.socket:
        opened: list[socket.socket] = []
        if user is None:
            opened.append(connect(bound.path))
        else:
            _connect_as(user, bound.path)
        connection, address = bound.socket.accept()
        with connection:
            assert peer_of(connection, address) == f"user {user or os.geteuid()}"
        for each in opened:
            each.close()


def _connect_as(user: int, path: Path) -> None:
    """Connect in a process of this user, which has ended when this returns."""
    directory = os.open(path.parent, os.O_PATH)
    child = os.fork()
    if child == 0:
        try:
            os.fchdir(directory)
            path.parent.chmod(0o711)
            os.setresuid(user, user, user)
            connect(Path(path.name))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(directory)
