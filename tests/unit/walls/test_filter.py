"""The filter of system calls: what it refuses, and what goes on working behind it."""

import ctypes
import fcntl
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fedstate import system
from fedstate.walls import filter as call_filter
from tests.unit.walls.conftest import in_child, outcome

pytestmark = pytest.mark.skipif(
    not call_filter.offered(), reason="system calls of this machine are not known"
)

libc = ctypes.CDLL(None, use_errno=True)


def filtered(function: Callable[[], Any], *, own_user: bool = True) -> Any:
    """Call a function in a fork of this process that has the filter."""

    def inside() -> Any:
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
        if not call_filter.enter(own_user=own_user):
            return "no filter"
        return function()

    return in_child(inside)


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


def checked(result: int) -> None:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def fast_open(address: tuple[str, int]) -> None:
    with socket.socket() as ours:
        ours.sendto(b"x", 0x20000000, address)


def fast_open_by_message(address: tuple[str, int]) -> None:
    with socket.socket() as ours:
        ours.sendmsg([b"x"], [], 0x20000000, address)


def opened(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


# What is refused, and the name of the error.
REFUSED: dict[str, tuple[Callable[[tuple[str, int]], Any], str]] = {
    "Multipath TCP": (lambda _: opened(socket.AF_INET, protocol=262), "EPROTONOSUPPORT"),
    "SMC": (lambda _: opened(socket.AF_INET, protocol=256), "EPROTONOSUPPORT"),
    "SMC over IPv6": (lambda _: opened(socket.AF_INET6, protocol=256), "EPROTONOSUPPORT"),
    # Kernels have these, or would say something else: it is the filter that answers.
    "UDP-Lite": (lambda _: opened(socket.AF_INET, socket.SOCK_DGRAM, 136), "EPROTONOSUPPORT"),
    "a raw protocol": (lambda _: opened(socket.AF_INET, socket.SOCK_RAW, 255), "EPROTONOSUPPORT"),
    "a pair of AF_PACKET": (lambda _: socket.socketpair(17, socket.SOCK_RAW), "EAFNOSUPPORT"),
    "Fast Open": (fast_open, "ENOTSUP"),
    "Fast Open by a message": (fast_open_by_message, "ENOTSUP"),
    "AF_VSOCK": (lambda _: opened(40), "EAFNOSUPPORT"),
    "AF_ALG": (lambda _: opened(38, socket.SOCK_SEQPACKET), "EAFNOSUPPORT"),
    "AF_PACKET": (lambda _: opened(17, socket.SOCK_RAW), "EAFNOSUPPORT"),
    "io_uring": (lambda _: checked(libc.syscall(425, 4, bytes(120))), "ENOSYS"),
    "a user namespace": (lambda _: checked(libc.unshare(0x10000000)), "EPERM"),
    "a mount": (lambda _: checked(libc.mount(b"a", b"/", b"tmpfs", 0, None)), "EPERM"),
    "typing into a terminal": (lambda _: fcntl.ioctl(0, 0x5412, b"x"), "EPERM"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_app_needs_is_refused(what: str, address: tuple[str, int]) -> None:
    attempt, error = REFUSED[what]
    assert filtered(lambda: outcome(lambda: attempt(address))) == error


def test_limits_of_others_are_read_and_not_set_where_the_user_is_shared() -> None:
    parent = os.getpid()

    def set_them() -> str:
        limits = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        return outcome(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, limits))

    assert filtered(set_them, own_user=False) == "EPERM"
    assert filtered(set_them, own_user=True) == "done"


def use_what_apps_use(address: tuple[str, int]) -> list[Any]:
    """Use threads, programs, forks, limits and sockets as apps do."""
    with socket.create_connection(address) as ours:
        ours.sendall(b"x")
    for family in (socket.AF_UNIX, socket.AF_INET6, socket.AF_NETLINK):
        kind = socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_DGRAM
        opened(family, kind)
    for protocol, kind in ((6, socket.SOCK_STREAM), (17, socket.SOCK_DGRAM)):
        opened(socket.AF_INET, kind, protocol)
        opened(socket.AF_INET6, kind, protocol)
    opened(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # the state of sockets, as `ss` asks for it
    for end in socket.socketpair():
        end.close()
    seen: list[Any] = []
    thread = threading.Thread(target=seen.append, args=(1,))
    thread.start()
    thread.join()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    program = [sys.executable, "-S", "-c", "print(2)"]
    seen.append(int(subprocess.run(program, capture_output=True, check=True).stdout))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        seen += pool.map(abs, [-3, -4])
    return seen


@pytest.mark.parametrize("own_user", [True, False])
def test_what_apps_need_works(address: tuple[str, int], own_user: bool) -> None:
    assert filtered(lambda: use_what_apps_use(address), own_user=own_user) == [1, 2, 3, 4]


def test_numbers_of_another_architecture_are_refused() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("only x86-64 has a second set of numbers")
    x32_getpid = 0x40000000 + 39
    assert filtered(lambda: outcome(lambda: checked(libc.syscall(x32_getpid)))) == "ENOSYS"
