"""What an app can do to the machine that it runs on; all of it is bounded, and ends by itself.

Each answers how far it came, unless it was stopped before: then the step's error says by what.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .kernel import LIBC, PR_SET_NAME, call
from .memory import _channels

Bomb = Callable[[dict[str, Any]], str]
BOMBS: dict[str, Bomb] = {}
_CHUNK = 16 * 2**20
_LIFE_SECONDS = 25
_CHILD_SECONDS = 5


def _bomb(function: Bomb) -> Bomb:
    BOMBS[function.__name__.replace("_", "-")] = function
    return function


def _reach(hints: dict[str, Any], name: str) -> int:
    """Return how far a bomb goes at most, if nothing stops it."""
    return int(hints["victim"]["reach"][name])


@_bomb
def processes(hints: dict[str, Any]) -> str:
    """Fork until something says no."""
    for count in range(_reach(hints, "processes")):
        if os.fork() == 0:
            _sleep_and_end()
        last = count
    return f"through: {last + 1} processes"


def _sleep_and_end() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(_CHILD_SECONDS)
    os._exit(0)


@_bomb
def threads(hints: dict[str, Any]) -> str:
    """Start threads until something says no."""
    enough = threading.Event()
    count = 0
    try:
        for _ in range(_reach(hints, "processes")):
            threading.Thread(target=enough.wait, args=(_LIFE_SECONDS,), daemon=True).start()
            count += 1
        time.sleep(2)
    finally:
        enough.set()
    return f"through: {count} threads"


@_bomb
def memory(hints: dict[str, Any]) -> str:
    """Take memory and write to it."""
    taken = [bytearray(b"x") * _CHUNK for _ in range(_reach(hints, "memory") // _CHUNK)]
    time.sleep(2)
    return f"through: {len(taken) * _CHUNK} bytes"


@_bomb
def memory_of_children(hints: dict[str, Any]) -> str:
    """Take the same memory in four processes, each within any limit of one process."""
    share = _reach(hints, "memory") // 4
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            taken = [bytearray(b"x") * _CHUNK for _ in range(share // _CHUNK)]
            time.sleep(3)
            os._exit(0 if taken else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return f"through: children ended with {codes}" if not any(codes) else f"killed: {codes}"


@_bomb
def memory_files(hints: dict[str, Any]) -> str:
    """Take memory as files that no process maps (memfd_create)."""
    chunk = bytes(_CHUNK)
    held: list[int] = []
    written = 0
    while written < _reach(hints, "memory"):
        if written % (4 * _CHUNK) == 0:
            held.append(os.memfd_create(f"hostile-{len(held)}"))
        written += os.write(held[-1], chunk)
    time.sleep(2)
    return f"through: {written} bytes in {len(held)} files"


@_bomb
def shared_memory(hints: dict[str, Any]) -> str:
    """Fill /dev/shm."""
    return _fill(Path("/dev/shm"), _reach(hints, "memory"))  # noqa: S108


@_bomb
def system_v_memory(hints: dict[str, Any]) -> str:
    """Take memory as System V segments, which outlive their process."""
    size = 64 * 2**20
    taken: list[int] = []
    LIBC.shmat.restype = ctypes.c_void_p
    try:
        while len(taken) * size < _reach(hints, "memory"):
            identifier = LIBC.shmget(0, ctypes.c_size_t(size), 0o1600)
            if identifier == -1:
                raise OSError(ctypes.get_errno(), "shmget")
            taken.append(identifier)
            address = LIBC.shmat(identifier, None, 0)
            if address == ctypes.c_void_p(-1).value:
                raise OSError(ctypes.get_errno(), "shmat")
            ctypes.memset(address, 1, size)
            LIBC.shmdt(ctypes.c_void_p(address))
        time.sleep(2)
    finally:
        if not hints["victim"].get("leave"):
            for identifier in taken:
                LIBC.shmctl(identifier, 0, None)
    return f"through: {len(taken) * size} bytes"


@_bomb
def descriptors(hints: dict[str, Any]) -> str:
    """Open descriptors until something says no."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(_reach(hints, "descriptors"))]
    return f"through: {len(held)} descriptors"


@_bomb
def own_files(hints: dict[str, Any]) -> str:
    """Fill its own temporary directory."""
    return _fill(Path(tempfile.gettempdir()), _reach(hints, "files"))


@_bomb
def many_files(hints: dict[str, Any]) -> str:
    """Make as many empty files as it can, which take no bytes but inodes."""
    here = Path(tempfile.mkdtemp())
    count = _reach(hints, "inodes")
    for number in range(count):
        os.close(os.open(here / str(number), os.O_CREAT | os.O_WRONLY))
    time.sleep(4)
    return f"through: {count} files"


@_bomb
def unlinked_files(hints: dict[str, Any]) -> str:
    """Fill the file system by files that no directory shows any more."""
    here, chunk, written = Path(tempfile.gettempdir()), bytes(_CHUNK), 0
    held: list[int] = []
    while written < _reach(hints, "files"):
        if written % (4 * _CHUNK) == 0:
            path = here / f"unlinked-{len(held)}"
            held.append(os.open(path, os.O_CREAT | os.O_WRONLY))
            path.unlink()
        written += os.write(held[-1], chunk)
    time.sleep(2)
    return f"through: {written} bytes in {len(held)} files"


def _fill(directory: Path, size: int) -> str:
    chunk, written = bytes(_CHUNK), 0
    made: list[Path] = []
    while written < size:
        path = directory / f"hostile-{os.getpid()}-{len(made)}"
        made.append(path)
        with path.open("wb", buffering=0) as file:
            for _ in range(4):
                written += file.write(chunk)
    time.sleep(2)
    for path in made:
        path.unlink()
    return f"through: {written} bytes"


@_bomb
def output(hints: dict[str, Any]) -> str:
    """Print as fast as it can, with no end."""
    line, until, written = b"hostile output " * 4096, time.monotonic() + 3, 0
    while time.monotonic() < until and written < _reach(hints, "output"):
        written += os.write(1, line)
    return f"ended by itself after {written} bytes"


@_bomb
def wipe_the_log(hints: dict[str, Any]) -> str:
    """Empty the file that its output goes to, which is the operator's log."""
    sys.stdout.flush()
    try:
        size = os.fstat(1).st_size
        os.ftruncate(1, size)  # to what it is: it could be nothing
    except OSError as error:
        return f"denied: {error.strerror}"
    return f"through: the log of {size} bytes could be emptied"


@_bomb
def endless_line(hints: dict[str, Any]) -> str:
    """Send a line without an end to the executor."""
    (channel, *_) = _channels()
    channel.socket.settimeout(3)
    sent = 0
    try:
        while sent < _reach(hints, "line"):
            channel.socket.sendall(b"x" * 2**20)
            sent += 2**20
    except OSError as error:
        return f"denied after {sent} bytes: {error}"
    time.sleep(1)
    return f"ended by itself after {sent} bytes"


GARBAGE = {
    "no-text": b"\xff\xfe\x00",
    "no-object": b"[]",
    "nothing": b"null",
    "no-event": b"{}",
    "no-name": b'{"event": 5}',
    "no-message": b'{"event": "pulled"}',
    "no-base64": b'{"event": "pulled", "message": "***"}',
    "no-pid": b'{"event": "started"}',
    "no-number": b'{"event": "started", "pid": "none"}',
    "no-modules": b'{"event": "imported", "modules": 7}',
    "no-environment": b'{"event": "bare", "environment": [[]]}',
    "a-long-number": b"9" * 5000,
    "deep": b"[" * 100_000,
}


@_bomb
def garbage(hints: dict[str, Any]) -> str:
    """Send the executor what is no message, or no message of this kind."""
    (channel, *_) = _channels()
    channel.socket.settimeout(3)
    channel.socket.sendall(GARBAGE[hints["kind"]] + b"\n")
    time.sleep(0.5)
    return "ended by itself"


@_bomb
def false_pid(hints: dict[str, Any]) -> str:
    """Tell the executor that the victim, or the executor itself, is this task's process."""
    (channel, *_) = _channels()
    for pid in [*hints["processes"].values(), 1, 0, -1, 2**31 - 1, 2**64]:
        channel.send({"event": "started", "pid": pid})
    time.sleep(0.5)
    os._exit(9)  # as a task that failed: it is for the executor to look after its process


@_bomb
def stop_itself(hints: dict[str, Any]) -> str:
    """Say that all is done, and stop: nobody is to wait for it for ever."""
    (channel, *_) = _channels()
    for event in ("replied", "finished"):
        channel.send({"event": event})
    os._exit(0)


@_bomb
def daemon(hints: dict[str, Any]) -> str:
    """Leave processes behind: forked twice, in sessions of their own, children of its parent."""
    tag = hints["tag"]
    for kind, name in enumerate((f"{tag}-d", f"{tag}) S 1 1", f"{tag}-c", f"{tag}-x")):
        _detach(kind, name)
    time.sleep(0.3)
    return "left"


def _detach(kind: int, name: str) -> None:
    parent_of_this = 0x8000  # CLONE_PARENT
    to_parent = (parent_of_this | signal.SIGCHLD, 0, 0, 0, 0)
    if call("clone", *to_parent) if kind == 2 else os.fork():
        return
    os.setsid()
    if kind != 2 and os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    LIBC.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
    for descriptor in range(3, 64):
        try:
            os.close(descriptor)
        except OSError:
            continue
    if kind == 3:
        code = _NAMED_SLEEPER.format(name=name)
        os.execv(sys.executable, [sys.executable, "-c", code])  # noqa: S606
    time.sleep(60)
    os._exit(0)


_NAMED_SLEEPER = """
import pathlib, time
pathlib.Path("/proc/self/comm").write_text("{name}")
time.sleep(60)
"""


@_bomb
def comet(hints: dict[str, Any]) -> str:
    """Leave a process that forks and ends without pause, so that no signal finds it."""
    if os.fork() == 0:
        os.setsid()
        LIBC.prctl(PR_SET_NAME, f"{hints['tag']}-k".encode(), 0, 0, 0)
        until = time.monotonic() + _LIFE_SECONDS
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
        os._exit(0)
    return "left"


@_bomb
def leave_files(hints: dict[str, Any]) -> str:
    """Leave files, shared memory and a message queue where they outlive the run."""
    left = []
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", "/run", "."):  # noqa: S108
        path = Path(place) / f"{hints['tag']}-left"
        try:
            path.write_text("left")
            left.append(str(path))
        except OSError:
            continue
    identifier = LIBC.shmget(int(hints["victim"]["left key"]), ctypes.c_size_t(4096), 0o1600)
    if identifier != -1:
        left.append(f"shm {identifier}")
    return f"left: {left}"


@_bomb
def long_names(hints: dict[str, Any]) -> str:
    """Give itself a name and arguments that make trouble for whoever reads /proc."""
    size = min(100_000, resource.getrlimit(resource.RLIMIT_STACK)[0] // 8 or 100_000)
    argument = ") R 1 1 1 1\n" * (size // 12)
    if os.fork() == 0:
        LIBC.prctl(PR_SET_NAME, b") R 1\n( Z", 0, 0, 0)
        if os.fork() == 0:
            code = "import time; time.sleep(2)"
            os.execv(sys.executable, [argument, "-c", code, *[argument] * 8])  # noqa: S606
        time.sleep(2)
        os._exit(0)
    time.sleep(1)
    return "ended by itself"


@_bomb
def sleep(hints: dict[str, Any]) -> str:
    """Hold a slot and do nothing, but open the own room and look into another run's."""
    LIBC.prctl(PR_SET_NAME, f"{hints['tag']}-s".encode(), 0, 0, 0)
    released = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: released.set())
    notes = [_open_the_room()]
    until = time.monotonic() + _LIFE_SECONDS
    while time.monotonic() < until and not released.is_set():
        if other := hints["victim"].get("other room"):
            notes.append(_look_into(Path(other)))
        time.sleep(0.05)
    return f"ended by itself; notes: {sorted(set(notes))}"


def _open_the_room() -> str:
    """Let everybody into this run's room, as far as its own user can."""
    own = Path(tempfile.gettempdir())
    try:
        for directory in (own, own.parent):
            if directory != Path("/tmp"):  # noqa: S108  it would be everybody's
                directory.chmod(0o777)
        note = own / "note"
        note.touch()
        note.chmod(0o666)
    except OSError as error:
        return f"not opened: {error.strerror}"
    return "opened"


def _look_into(room: Path) -> str:
    try:
        return f"through: {room / 'tmp' / 'note'} of {len((room / 'tmp' / 'note').read_bytes())}"
    except OSError as error:
        return f"denied: {error.strerror}"


@_bomb
def sockets(hints: dict[str, Any]) -> str:
    """Take the kernel's memory in buffers of sockets that nobody reads."""
    held, taken = [], 0
    while taken < _reach(hints, "buffers"):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        held.append((ours, theirs))
        try:
            while True:
                taken += ours.send(bytes(65536))
        except BlockingIOError:
            continue
    return f"through: {taken} bytes in {len(held)} pairs"
