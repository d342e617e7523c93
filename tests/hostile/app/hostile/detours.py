"""Probes that ask for what is refused in another way: by other numbers, names and protocols."""

import ctypes
import fcntl
import mmap
import os
import platform
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .files import writable
from .kernel import LIBC, call, checked
from .memory import _GONE, _processes
from .network import _CLOSED, _SECONDS, _closed
from .registry import Attempts, Denied, Hints, probe

_NOWHERE = "EACCES EPERM ENOENT ENOTDIR EROFS ENXIO"
_NEW_USERS = 0x10000000
_SMC = 256
# AF_KEY and TIPC among them: each a large part of the kernel that no app needs.
_FAMILIES = (15, 17, 21, 29, 30, 31, 38, 39, 40, 42, 43, 44)
_TYPE, _LINUX = 0x5412, 0x541C


@probe("ENOSYS no_report")
def call_by_other_numbers(hints: Hints, attempts: Attempts) -> None:
    """Make calls that the filter refuses by the numbers of other architectures (x32, i386)."""
    if platform.machine() != "x86_64":
        attempts.denied["ENOSYS"] = 1
        return
    for name, number, argument in (("unshare", 272, _NEW_USERS), ("keyctl", 250, 0)):
        attempts.of(
            f"x32 {name}",
            lambda number=number, argument=argument: checked(
                LIBC.syscall(ctypes.c_long(0x40000000 | number), ctypes.c_long(argument))
            ),
        )
    for name, number, argument in (("unshare", 310, _NEW_USERS), ("keyctl", 288, 0)):
        attempts.of(
            f"i386 {name}",
            lambda number=number, argument=argument: _by_interrupt(number, argument),
        )


def _by_interrupt(number: int, argument: int) -> str:
    """Make a call of a 32-bit program (int 0x80)."""
    code = struct.pack("<BBIBI2s2s", 0x53, 0xB8, number, 0xBB, argument, b"\xcd\x80", b"\x5b\xc3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    entry = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = int(ctypes.CFUNCTYPE(ctypes.c_int)(entry)())
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return f"returned {result}"


@probe("EPERM EACCES ENOENT EIO ENOTTY")
def type_into_terminals(hints: Hints, attempts: Attempts) -> None:
    """Type into a terminal as if a person had (TIOCSTI), also with bits that nobody looks at."""
    opened = [0, 1, 2]
    for path in ("/dev/tty", "/dev/pts/0"):
        try:
            opened.append(os.open(path, os.O_RDWR | os.O_NOCTTY))
        except OSError:
            continue
    try:
        opened += os.openpty()
    except OSError:
        attempts.denied["EACCES"] = 1
    for descriptor in opened:
        for request in (_TYPE, 0x1_0000_0000 | _TYPE, _LINUX, 0x1_0000_0000 | _LINUX):

            def typed(descriptor: int = descriptor, request: int = request) -> str:
                letter = ctypes.create_string_buffer(b"\x03x")
                checked(LIBC.ioctl(descriptor, ctypes.c_ulong(request), letter))
                return "typed"

            attempts.of(f"{descriptor} {request:#x}", typed)


@probe("EPERM EACCES ENOTTY EOPNOTSUPP EINVAL")
def make_files_that_stay(hints: Hints, attempts: Attempts) -> None:
    """Make its own files immutable, or such that can only grow, so that nobody deletes them."""
    set_flags = 0x40086602
    for name, flag in (("immutable", 0x10), ("append only", 0x20)):

        def made(flag: int = flag) -> str:
            with tempfile.NamedTemporaryFile() as file:
                fcntl.ioctl(file.fileno(), set_flags, struct.pack("=i", flag))
                return "made"

        attempts.of(name, made)


@probe(f"{_NOWHERE} a_directory_of_its_own")
def lock_what_others_lock(hints: Hints, attempts: Attempts) -> None:
    """Hold the locks of services, for which it is enough to open a file for reading (flock)."""
    places = [*hints.files.items(), *hints.directories.items()]
    if rooms := hints.directories.get("rooms"):
        places.append(("the lock of the rooms", f"{rooms}/.lock"))
    for name, path in places:

        def held(path: str = path) -> str:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if hints.mode == "landlock" and os.path.ismount(path):
                    raise Denied("a directory of its own, in place of the other")
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "opened, and held by somebody else"
            finally:
                os.close(descriptor)
            return "held"

        # Which runs there are is no secret: the directory of their records may be opened.
        if name not in ("executor home", "runs"):
            attempts.of(name, held)


@probe(_NOWHERE)
def print_in_the_victims_name(hints: Hints, attempts: Attempts) -> None:
    """Open the pipe through which the victim's output goes to the log, under its name."""
    for name in ("rooms", "executor apps"):
        if place := hints.directories.get(name):
            path = f"{place}/.output-{hints.victim.get('run', 0)}"
            attempts.of(path, lambda path=path: writable(path))


@probe(f"{_GONE} EINVAL ENOSYS EBADF", sides="client server")
def advise_the_memory_of_others(hints: Hints, attempts: Attempts) -> None:
    """Have other processes' memory moved, paged out, or their list of locks read."""

    def advised(pid: int) -> str:
        page_out = 21
        vector = struct.pack("=QQ", 0x1000, 4096)
        return f"{call('process_madvise', os.pidfd_open(pid), vector, 1, page_out, 0)} bytes"

    def migrated(pid: int) -> str:
        nodes = struct.pack("=Q", 1)
        return f"{call('migrate_pages', pid, 64, nodes, nodes)} pages stay"

    def locks(pid: int) -> str:
        head, length = ctypes.c_void_p(), ctypes.c_size_t()
        call("get_robust_list", pid, ctypes.byref(head), ctypes.byref(length))
        return f"a list at {head.value}"

    for what, attempt in (("advise", advised), ("migrate", migrated), ("locks", locks)):
        _processes(hints, attempts, attempt, what)


@probe(f"{_CLOSED} EPROTONOSUPPORT ESOCKTNOSUPPORT ENOPROTOOPT EINVAL EPROTOTYPE")
def connect_by_smc(hints: Hints, attempts: Attempts) -> None:
    """Connect by SMC, which falls back to TCP by connections that the kernel makes itself."""
    for name, address in _closed(hints):

        def connected(address: tuple[str, int] = address) -> str:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SMC) as ours:
                ours.settimeout(_SECONDS)
                ours.connect(address)
                return "connected"

        attempts.of(name, connected)


@probe("EAFNOSUPPORT EACCES EPERM EPROTONOSUPPORT ESOCKTNOSUPPORT")
def open_other_families_of_sockets(hints: Hints, attempts: Attempts) -> None:
    """Open sockets to the machine below, to the kernel's ciphers, to buses and clusters."""
    for family in _FAMILIES:
        for kind in (
            socket.SOCK_STREAM,
            socket.SOCK_DGRAM,
            socket.SOCK_RAW,
            socket.SOCK_SEQPACKET,
        ):
            attempts.of(f"{family} {kind}", lambda f=family, k=kind: _opened(f, k))
        attempts.of(f"pair {family}", lambda f=family: _pair(f))
    for protocol in (33, 115, 132, 262):  # DCCP, L2TP, SCTP, Multipath TCP
        for family in (socket.AF_INET, socket.AF_INET6):
            attempts.of(
                f"protocol {protocol}",
                lambda f=family, p=protocol: _opened(f, socket.SOCK_STREAM, p),
            )


def _opened(family: int, kind: int, protocol: int = 0) -> str:
    with socket.socket(family, kind, protocol):
        return "opened"


def _pair(family: int) -> str:
    for end in socket.socketpair(family, socket.SOCK_SEQPACKET):
        end.close()
    return "opened"


@probe("EPERM EACCES EOPNOTSUPP ENOENT EPROTONOSUPPORT")
def change_the_network(hints: Hints, attempts: Attempts) -> None:
    """Have the kernel take down the network, or others' connections, by netlink."""
    route, diagnosis = 0, 4
    link = struct.pack("=BxHiII", 0, 0, 1, 0, 1)  # the loopback, down
    attempts.of("link", lambda: _told(route, 16, link))
    address = struct.pack("=BBBBi", 2, 8, 0, 254, 1) + struct.pack("=HH4s", 8, 2, bytes(4))
    attempts.of("address", lambda: _told(route, 21, address))
    for name, (_, port) in _closed(hints):
        sockets = struct.pack("=BBBBI", 2, 6, 0, 0, 0xFFFFFFFF)
        sockets += struct.pack(">HH", port, 0) + socket.inet_aton("127.0.0.1") + bytes(40)
        attempts.of(name, lambda sockets=sockets: _told(diagnosis, 21, sockets))


def _told(protocol: int, kind: int, content: bytes) -> str:
    """Send a message to the kernel, and return that it was done."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(2)
        header = struct.pack("=IHHII", 16 + len(content), kind, 5, 1, 0)
        kernel.send(header + content)
        answer = kernel.recv(4096)
    (error,) = struct.unpack_from("=i", answer, 16)
    if struct.unpack_from("=H", answer, 4)[0] == 2 and error:
        raise OSError(-error, os.strerror(-error))
    return "done"


@probe(
    "EACCES EPERM EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT nobody_is_there", modes="root landlock"
)
def wait_in_anothers_place(hints: Hints, attempts: Attempts) -> None:
    """Listen on the ports of services at every address at which they do not listen themselves."""
    for name, address in hints.addresses.items():
        port = int(address.split(",")[0].rpartition(":")[2])
        for family, host in _addresses():

            def listening(family: int = family, host: str = host, port: int = port) -> str:
                with socket.socket(family) as ours:
                    ours.bind((host, port))
                    ours.listen()
                    return "listens"

            attempts.of(f"{name} {host}", listening)


def _addresses() -> Iterator[tuple[int, str]]:
    yield socket.AF_INET, "127.0.0.2"
    yield socket.AF_INET, "0.0.0.0"  # noqa: S104
    if Path("/proc/net/if_inet6").exists():
        yield socket.AF_INET6, "::1"
