"""Probes of other processes' memory, descriptors and what /proc tells of them."""

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .kernel import LIBC, Vector, call, checked, libc
from .registry import Attempts, Denied, Hints, probe

_GONE = "EACCES EPERM ESRCH ENOENT"
ALL = "root landlock containers"
_SEIZE, _SIBLING_ADDRESS = 0x4206, 0x1000


def _processes(
    hints: Hints, attempts: Attempts, attempt: Callable[..., Any], what: str = ""
) -> None:
    for name, pid in hints.processes.items():
        attempts.of(f"{what} {name} ({pid})", lambda pid=pid: attempt(pid))


def _read_proc(pid: int, name: str) -> str:
    with Path(f"/proc/{pid}/{name}").open("rb", buffering=0) as file:
        content = file.read(4096)
    if not content:
        raise Denied("empty")
    return f"{len(content)} bytes"


@probe(f"{_GONE} empty", before=ALL)
def read_environments(hints: Hints, attempts: Attempts) -> None:
    """Read the environment of other processes."""
    _processes(hints, attempts, lambda pid: _read_proc(pid, "environ"))


@probe(f"{_GONE} empty", before=ALL)
def read_maps(hints: Hints, attempts: Attempts) -> None:
    """Read where other processes have what in their memory."""
    for name in ("maps", "smaps", "auxv", "pagemap", "syscall", "io"):
        _processes(hints, attempts, lambda pid, name=name: _read_proc(pid, name), name)


@probe(f"{_GONE} EIO", before=ALL)
def read_memory(hints: Hints, attempts: Attempts) -> None:
    """Read other processes' memory through /proc/PID/mem, where the victim has its weights."""

    def opened(pid: int) -> str:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))
        return "opened"

    _processes(hints, attempts, opened)


@probe(f"{_GONE} EIO", before=ALL)
def write_memory(hints: Hints, attempts: Attempts) -> None:
    """Open other processes' memory for writing: the fork server's is copied into every task."""

    def opened(pid: int) -> str:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
        return "opened"

    _processes(hints, attempts, opened)


def _transfer(name: str, pid: int, address: int) -> str:
    own = ctypes.create_string_buffer(16)
    local = Vector(ctypes.addressof(own), 16)
    remote = Vector(address, 16)
    arguments = (pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    try:
        return f"{call(name, *arguments)} bytes"
    except OSError as error:
        if error.errno == 14:  # EFAULT: it was allowed, and only nothing lies there
            return "allowed"
        raise


@probe(_GONE, before=ALL)
def read_memory_by_process_vm_readv(hints: Hints, attempts: Attempts) -> None:
    """Read the victim's secret from its memory, and any other process's at some address."""
    address = int(hints.victim.get("address", _SIBLING_ADDRESS))
    _processes(hints, attempts, lambda pid: _transfer("process_vm_readv", pid, address))


@probe(_GONE, before=ALL)
def write_memory_by_process_vm_writev(hints: Hints, attempts: Attempts) -> None:
    """Write into the victim's memory, and any other process's at an address that is free."""
    _processes(hints, attempts, lambda pid: _transfer("process_vm_writev", pid, _SIBLING_ADDRESS))


@probe(_GONE, before=ALL)
def attach_by_ptrace(hints: Hints, attempts: Attempts) -> None:
    """Attach to other processes as a debugger does, which may do anything with them."""

    def seize(pid: int) -> str:
        LIBC.ptrace.restype = ctypes.c_long
        checked(LIBC.ptrace(_SEIZE, ctypes.c_long(pid), None, None))
        return "attached"

    _processes(hints, attempts, seize)


@probe(_GONE, before=ALL, still_open="landlock")
def list_descriptors(hints: Hints, attempts: Attempts) -> None:
    """List what other processes have open."""
    _processes(hints, attempts, lambda pid: os.listdir(f"/proc/{pid}/fd")[:3])  # noqa: PTH208


@probe(_GONE, before=ALL)
def open_descriptors_through_proc(hints: Hints, attempts: Attempts) -> None:
    """Open a file anew through another process's /proc/PID/fd, past its directory's mode."""

    def opened(pid: int) -> str:
        for number in range(3, 12):
            try:
                os.close(os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK))
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno == 6:  # a socket, which cannot be opened by name
                    continue
                raise
            else:
                return f"opened {number}"
        raise FileNotFoundError(2, "nothing to open")

    _processes(hints, attempts, opened)


@probe(f"{_GONE} EBADF", before=ALL)
def take_descriptors_by_pidfd_getfd(hints: Hints, attempts: Attempts) -> None:
    """Take a copy of another process's descriptors: the victim's channel and connection."""

    def taken(pid: int) -> str:
        handle = os.pidfd_open(pid)
        for number in (0, *range(3, 10)):
            try:
                os.close(call("pidfd_getfd", handle, number, 0))
            except OSError as error:
                if error.errno == 9:
                    continue
                raise
            return f"took {number}"
        raise Denied("EBADF")

    _processes(hints, attempts, taken)


@probe(f"{_GONE} EROFS EINVAL EIO", before=ALL)
def tamper_with_files_in_proc(hints: Hints, attempts: Attempts) -> None:
    """Write other processes' settings in /proc: who is killed first, core dumps, names."""
    for name in ("oom_score_adj", "coredump_filter", "comm", "clear_refs", "timerslack_ns"):

        def opened(pid: int, name: str = name) -> str:
            os.close(os.open(f"/proc/{pid}/{name}", os.O_WRONLY))
            return "opened for writing"

        _processes(hints, attempts, opened, name)


@probe("nothing_secret ENOENT EACCES ESRCH EPERM")
def find_secrets_on_command_lines(hints: Hints, attempts: Attempts) -> None:
    """Look for tokens and secrets on command lines, which anybody may read."""
    own = set(_own_secrets()) | {hints.marker}

    def searched(pid: int) -> str:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        if found := [secret for secret in own if secret and secret in line]:
            return f"{len(found)} in {line[:60]}"
        raise Denied("nothing secret")

    for pid in _everybody():
        attempts.of(str(pid), lambda pid=pid: searched(pid))


@probe("nothing_open")
def use_inherited_descriptors(hints: Hints, attempts: Attempts) -> None:
    """Look for descriptors from the executor: files, sockets to others, memory, pidfds."""
    for number in sorted(int(each) for each in os.listdir("/proc/self/fd")):  # noqa: PTH208
        attempts.of(f"descriptor {number}", lambda number=number: _what_is(number))


def _what_is(number: int) -> str:
    try:
        target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except FileNotFoundError:
        raise Denied("nothing open") from None
    kind = target.split(":")[0]
    # Its own output, channel and connection, the reports of the probe, and what flwr has open.
    harmless = number <= 2 or kind in ("pipe", "anon_inode") or target.startswith("/dev/")
    if kind == "socket" and number > 2:
        harmless = _peer_is_none_of_ours(number)
    if target.startswith("/proc/") or target.endswith((".so", ".py", ".zip")):
        harmless = True
    if _leads_to_its_server(number):
        harmless = True
    if harmless and "pidfd" not in target:
        raise Denied("nothing open")
    return target


def _peer_is_none_of_ours(number: int) -> bool:
    """Whether a socket is this task's own: its channel, or its connection to the Runtime API."""
    import socket
    import struct

    with socket.socket(fileno=os.dup(number)) as end:
        if end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        if end.family != socket.AF_UNIX:
            return True
        peer = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, _, _ = struct.unpack("3i", peer)
    known = {each.socket.fileno() for each in (*_channels(), *_connections())}
    return number in known or pid in (os.getpid(), os.getppid())


def _leads_to_its_server(number: int) -> bool:
    """Whether it is the directory in which this task finds its server's socket, and no more."""
    import fcntl

    from .ipc import own_server

    held = str(Path(own_server()).parent) == f"/proc/self/fd/{number}"
    return held and bool(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_PATH)


def _channels() -> Iterator[Any]:
    import gc

    from fedstate.forking.channel import Channel

    for each in gc.get_objects():
        if isinstance(each, Channel) and each.socket.fileno() >= 0:
            yield each


def _connections() -> Iterator[Any]:
    import gc

    from fedstate.http_transport import ServerConnection

    for each in gc.get_objects():
        if isinstance(each, ServerConnection) and each.socket.fileno() >= 0:
            yield each


def _own_secrets() -> Iterator[str]:
    import gc

    from fedstate.flower.task_order import TaskOrder

    for each in gc.get_objects():
        if isinstance(each, TaskOrder):
            yield each.token


def _everybody() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


@probe(f"{_GONE} EOPNOTSUPP ENOSYS", before=ALL)
def compare_with_other_processes(hints: Hints, attempts: Attempts) -> None:
    """Compare its files with other processes' (kcmp), which tells what they share."""
    _processes(hints, attempts, lambda pid: call("kcmp", os.getpid(), pid, 0, 1, 1))


@probe(f"{_GONE} EINVAL ENOSYS ENODEV", before=ALL)
def move_the_memory_of_others(hints: Hints, attempts: Attempts) -> None:
    """Find out where other processes' pages are, and advise the kernel to drop them."""

    def moved(pid: int) -> str:
        page = ctypes.c_void_p(_SIBLING_ADDRESS)
        status = ctypes.c_int()
        call("move_pages", pid, 1, ctypes.byref(page), None, ctypes.byref(status), 0)
        return f"status {status.value}"

    _processes(hints, attempts, moved)


@probe("EPERM ENOSYS EACCES", before="root")
def handle_page_faults_in_user_space(hints: Hints, attempts: Attempts) -> None:
    """Open userfaultfd for faults of the kernel, which makes its races easy to win."""
    attempts.of("userfaultfd", lambda: call("userfaultfd", 0))


@probe("EPERM EINVAL EACCES nothing_dumped", before="root landlock containers")
def dump_core(hints: Hints, attempts: Attempts) -> None:
    """Raise the limit of core dumps: one would hold the memory shared with the fork server."""
    import resource

    def raised() -> str:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (2**20, 2**20))
        except ValueError:  # what Python makes of EPERM
            raise PermissionError(1, "not above the limit") from None
        return "raised"

    attempts.of("limit", raised)


@probe("EPERM EACCES ENOENT ESRCH EROFS", before="root")
def leave_the_namespaces(hints: Hints, attempts: Attempts) -> None:
    """Enter other processes' namespaces."""
    for kind in ("mnt", "pid", "net", "user"):

        def entered(pid: int, kind: str = kind) -> str:
            namespace = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
            try:
                return f"entered {libc('setns', namespace, 0)}"
            finally:
                os.close(namespace)

        _processes(hints, attempts, entered, kind)
