"""Probes of what processes share beside files: memory, queues, semaphores, sockets, keys."""

import ctypes
import os
import socket
from pathlib import Path

from .kernel import LIBC, call, checked, libc
from .memory import ALL
from .registry import Attempts, Denied, Hints, probe

_USER_KEYRING, _SESSION_KEYRING, _USER_SESSION = -4, -3, -5
_SEARCH, _READ, _LINK = 10, 11, 8


def _key(hints: Hints) -> int:
    return int(hints.victim.get("key", 0))


@probe("EACCES EPERM ENOENT EINVAL ENOSYS", before=ALL)
def attach_shared_memory(hints: Hints, attempts: Attempts) -> None:
    """Attach the victim's System V shared memory, by its key and by counting identifiers."""

    def attached(identifier: int) -> str:
        LIBC.shmat.restype = ctypes.c_void_p
        address = LIBC.shmat(ctypes.c_int(identifier), None, 0)
        if address == ctypes.c_void_p(-1).value:
            checked(-1)
        return ctypes.string_at(address, 16).decode(errors="replace")

    attempts.of("key", lambda: attached(libc("shmget", _key(hints), 0, 0)))
    for identifier in hints.victim.get("shm", []):
        attempts.of("identifier", lambda identifier=identifier: attached(int(identifier)))


@probe("EACCES EPERM ENOENT EINVAL ENOSYS", before=ALL)
def use_semaphores(hints: Hints, attempts: Attempts) -> None:
    """Read and set the victim's System V semaphores."""
    get_all = 12
    attempts.of("key", lambda: libc("semget", _key(hints), 0, 0o600))
    for identifier in hints.victim.get("sem", []):
        attempts.of(
            "identifier",
            lambda identifier=identifier: libc("semctl", int(identifier), 0, get_all),
        )


@probe("EACCES EPERM ENOENT EINVAL ENOSYS", before=ALL)
def read_message_queues(hints: Hints, attempts: Attempts) -> None:
    """Look into the victim's System V message queue, and leave what is in it."""
    status = 2
    attempts.of("key", lambda: libc("msgget", _key(hints), 0o600))
    for identifier in hints.victim.get("msg", []):
        space = ctypes.create_string_buffer(256)
        attempts.of(
            "identifier",
            lambda identifier=identifier, space=space: libc(
                "msgctl", int(identifier), status, space
            ),
        )


@probe("EACCES EPERM ENOENT", before=ALL)
def open_posix_shared_memory(hints: Hints, attempts: Attempts) -> None:
    """Open the victim's POSIX shared memory in /dev/shm."""
    if name := hints.victim.get("posix shm"):
        attempts.of(name, lambda: Path(f"/dev/shm/{name}").read_bytes()[:16])  # noqa: S108
    attempts.of("all", lambda: _others_in("/dev/shm"))  # noqa: S108


def _others_in(directory: str) -> str:
    for name in os.listdir(directory):  # noqa: PTH208
        if name.startswith("victim-"):
            with Path(directory, name).open("rb") as file:
                return f"{name}: {len(file.read(8))} bytes"
    raise FileNotFoundError(2, "nothing of others")


@probe("EACCES EPERM ENOENT ENOSYS", before=ALL)
def open_posix_message_queues(hints: Hints, attempts: Attempts) -> None:
    """Open the victim's POSIX message queue."""
    # Landlock keeps the victim from making one, so that there is none to be opened.
    name = hints.victim.get("mq", "/victim")
    attempts.of(name, lambda: os.close(libc("mq_open", name.encode(), os.O_RDONLY)))


@probe("EPERM ECONNREFUSED EACCES", before=ALL)
def connect_to_abstract_sockets(hints: Hints, attempts: Attempts) -> None:
    """Connect to the victim's socket without a file, which no mode protects."""
    if name := hints.victim.get("abstract"):

        def connected() -> str:
            with socket.socket(socket.AF_UNIX) as ours:
                ours.settimeout(3)
                ours.connect("\0" + name)
                return ours.recv(16).decode()

        attempts.of(name, connected)


@probe("EACCES EPERM ENOENT ECONNREFUSED", before=ALL)
def connect_to_sockets_in_files(hints: Hints, attempts: Attempts) -> None:
    """Connect to the victim's socket in its own directory."""
    if path := hints.victim.get("socket"):

        def connected() -> str:
            with socket.socket(socket.AF_UNIX) as ours:
                ours.settimeout(3)
                ours.connect(path)
                return "connected"

        attempts.of(path, connected)


@probe("EACCES EPERM ENOENT ENOTDIR EROFS")
def reach_beyond_the_servers_socket(hints: Hints, attempts: Attempts) -> None:
    """Connect to other servers' sockets, on the way to its own, and take the place of that."""
    own = own_server()
    beside = Path(own).parent

    def connected(path: str) -> str:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.settimeout(3)
            ours.connect(path)
            return "connected"

    def replaced() -> str:
        os.rename(own, f"{own}.before")  # noqa: PTH104
        return "moved away"

    def listening() -> str:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(f"{own}.ours")
            return "listens"

    place = "runtime/api.sock"
    for name in ("node-1", "node-2", "superlink"):
        path = f"{beside}/../../{name}/{place}"
        if not _same(path, own):
            attempts.of(f"{name} from there", lambda path=path: connected(path))
    if secret := hints.files.get("other executor's secret"):
        path = f"{Path(secret).parent}/{place}"
        attempts.of("the other node", lambda: connected(path))
    attempts.of("in its place", replaced)
    attempts.of("beside it", listening)


def own_server() -> str:
    """Return the path by which this task connects to its server."""
    import gc

    from fedstate.flower.task_order import TaskOrder

    found = [each.runtime_api_socket for each in gc.get_objects() if isinstance(each, TaskOrder)]
    return next(path for path in found if path is not None)


def _same(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except OSError:
        return False


@probe("EACCES EPERM ENOENT ENOTDIR ECONNREFUSED ENOTSOCK", before="root landlock")
def ask_programs_of_the_executors_user(hints: Hints, attempts: Attempts) -> None:
    """Connect to programs that do as their user says: agents, the session's bus, an engine."""
    found = {str(each) for each in Path("/run/user").glob("*/bus")}
    found |= {str(each) for each in Path("/run/user").glob("*/systemd/private")}
    found |= {str(each) for each in Path("/tmp").glob("*/agent.*")}  # noqa: S108
    found |= {"/run/docker.sock", "/run/containerd/containerd.sock", "/run/user/0/bus"}
    for path in sorted(found | {*hints.victim["belongings"].values()}):

        def connected(path: str = path) -> str:
            with socket.socket(socket.AF_UNIX) as ours:
                ours.settimeout(3)
                ours.connect(path)
                return "connected"

        attempts.of(path, connected)


@probe(
    "ENOKEY EACCES EPERM ENOSYS EKEYREVOKED EKEYEXPIRED not_listed",
    before=ALL,
    still_open="landlock",
)
def read_keyrings(hints: Hints, attempts: Attempts) -> None:
    """Find the victim's key in the kernel's keyrings: its user's, its session's, by number."""
    name = hints.victim.get("key name", "victim").encode()
    for ring in (_USER_KEYRING, _SESSION_KEYRING, _USER_SESSION):
        attempts.of(
            f"search {ring}",
            lambda ring=ring: call("keyctl", _SEARCH, ring, b"user", name, 0),
        )
    attempts.of("request", lambda: call("request_key", b"user", name, None, 0))
    if number := hints.victim.get("key number"):
        space = ctypes.create_string_buffer(64)
        attempts.of("read", lambda: call("keyctl", _READ, int(number), space, 64, 0))
    attempts.of("listed", lambda: _listed(name.decode()))


def _listed(name: str) -> str:
    if name in Path("/proc/keys").read_text():
        return "listed in /proc/keys"
    raise Denied("not listed")


@probe("EPERM EACCES ENOENT EINVAL ENOSYS", before=ALL)
def remove_what_the_victim_shares(hints: Hints, attempts: Attempts) -> None:
    """Remove the victim's System V objects, by setting their owner to what it is."""
    read, write = 2, 1
    for kind, control in (("shm", "shmctl"), ("msg", "msgctl")):
        for identifier in hints.victim.get(kind, []):

            def owned(control: str = control, identifier: int = identifier) -> str:
                space = ctypes.create_string_buffer(256)
                libc(control, int(identifier), read, space)
                libc(control, int(identifier), write, space)
                return "its owner may be set"

            attempts.of(kind, owned)
