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

Bomb = Callable[[dict[str, Any]], str]
BOMBS: dict[str, Bomb] = {}
_CHUNK = 16 * 2**20
_LIFE_SECONDS = 25
# Longer than others may take to get through beside it, on a busy machine; it is told to end.
_SLEEP_SECONDS = 120
_CHILD_SECONDS = 5
# Files are measured every few seconds, and less often where it takes long.
_KEPT_SECONDS = 20


def bomb(function: Bomb) -> Bomb:
    BOMBS[function.__name__.replace("_", "-")] = function
    return function


def reach(hints: dict[str, Any], name: str) -> int:
    """Return how far a bomb goes at most, if nothing stops it."""
    return int(hints["victim"]["reach"][name])


@bomb
def processes(hints: dict[str, Any]) -> str:
    """Fork until something says no."""
    for count in range(reach(hints, "processes")):
        if os.fork() == 0:
            _sleep_and_end()
        last = count
    time.sleep(2)
    return f"through: {last + 1} processes"


def _sleep_and_end() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(_CHILD_SECONDS)
    os._exit(0)


@bomb
def threads(hints: dict[str, Any]) -> str:
    """Start threads until something says no."""
    enough = threading.Event()
    count = 0
    try:
        for _ in range(reach(hints, "processes")):
            threading.Thread(target=enough.wait, args=(_LIFE_SECONDS,), daemon=True).start()
            count += 1
        time.sleep(2)
    finally:
        enough.set()
    return f"through: {count} threads"


@bomb
def memory(hints: dict[str, Any]) -> str:
    """Take memory and write to it."""
    taken = [bytearray(b"x") * _CHUNK for _ in range(reach(hints, "memory") // _CHUNK)]
    time.sleep(2)
    return f"through: {len(taken) * _CHUNK} bytes"


@bomb
def memory_of_children(hints: dict[str, Any]) -> str:
    """Take the same memory in four processes, each within any limit of one process."""
    share = reach(hints, "memory") // 4
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            taken = [bytearray(b"x") * _CHUNK for _ in range(share // _CHUNK)]
            time.sleep(3)
            os._exit(0 if taken else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return f"through: children ended with {codes}" if not any(codes) else f"killed: {codes}"


@bomb
def memory_files(hints: dict[str, Any]) -> str:
    """Take memory as files that no process maps (memfd_create)."""
    chunk = bytes(_CHUNK)
    held: list[int] = []
    written = 0
    while written < reach(hints, "memory"):
        if written % (4 * _CHUNK) == 0:
            held.append(os.memfd_create(f"hostile-{len(held)}"))
        written += os.write(held[-1], chunk)
    time.sleep(2)
    return f"through: {written} bytes in {len(held)} files"


@bomb
def shared_memory(hints: dict[str, Any]) -> str:
    """Fill /dev/shm."""
    return _fill(Path("/dev/shm"), reach(hints, "memory"))  # noqa: S108


@bomb
def system_v_memory(hints: dict[str, Any]) -> str:
    """Take memory as System V segments, which outlive their process."""
    size = 64 * 2**20
    taken: list[int] = []
    LIBC.shmat.restype = ctypes.c_void_p
    try:
        while len(taken) * size < reach(hints, "memory"):
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


@bomb
def descriptors(hints: dict[str, Any]) -> str:
    """Open descriptors until something says no."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(reach(hints, "descriptors"))]
    return f"through: {len(held)} descriptors"


@bomb
def own_files(hints: dict[str, Any]) -> str:
    """Fill its own temporary directory, and keep it so."""
    filled = _fill(Path(tempfile.gettempdir()), reach(hints, "files"))
    time.sleep(_KEPT_SECONDS)
    return filled


@bomb
def many_files(hints: dict[str, Any]) -> str:
    """Make as many empty files as it can, which take no bytes but inodes."""
    here = Path(tempfile.mkdtemp())
    count = reach(hints, "inodes")
    for number in range(count):
        os.close(os.open(here / str(number), os.O_CREAT | os.O_WRONLY))
    time.sleep(_KEPT_SECONDS)
    return f"through: {count} files"


@bomb
def unlinked_files(hints: dict[str, Any]) -> str:
    """Fill the file system by files that no directory shows any more."""
    here, chunk, written = Path(tempfile.gettempdir()), bytes(_CHUNK), 0
    held: list[int] = []
    while written < reach(hints, "files"):
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


@bomb
def output(hints: dict[str, Any]) -> str:
    """Print as fast as it can, with no end."""
    line, until, written = b"hostile output " * 4096, time.monotonic() + 3, 0
    while time.monotonic() < until and written < reach(hints, "output"):
        written += os.write(1, line)
    return f"ended by itself after {written} bytes"


@bomb
def wipe_the_log(hints: dict[str, Any]) -> str:
    """Empty the file that its output goes to, which is the operator's log."""
    sys.stdout.flush()
    try:
        size = os.fstat(1).st_size
        os.ftruncate(1, size)  # to what it is: it could be nothing
    except OSError as error:
        return f"denied: {error.strerror}"
    return f"through: the log of {size} bytes could be emptied"


@bomb
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


@bomb
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


@bomb
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


@bomb
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


@bomb
def sleep(hints: dict[str, Any]) -> str:
    """Hold a slot and do nothing, but open the own room and look into another run's."""
    LIBC.prctl(PR_SET_NAME, f"{hints['tag']}-s".encode(), 0, 0, 0)
    released = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: released.set())
    notes = [_open_the_room()]
    until = time.monotonic() + _SLEEP_SECONDS
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


@bomb
def sockets(hints: dict[str, Any]) -> str:
    """Take the kernel's memory in buffers of sockets that nobody reads."""
    held, taken = [], 0
    while taken < reach(hints, "buffers"):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        held.append((ours, theirs))
        try:
            while True:
                taken += ours.send(bytes(65536))
        except BlockingIOError:
            continue
    return f"through: {taken} bytes in {len(held)} pairs"
