"""Where root's Python lies behind closed doors, a run still sees it, and nothing else of it."""

import ctypes
import os
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from fedstate import system
from fedstate.walls import RunLimits, Walls, enter, mounts
from fedstate.walls.directories import create
from fedstate.walls.landlock import abi
from fedstate.walls.mounts import impassable, may_mount
from fedstate.walls.users import free_user
from tests.unit.walls.conftest import as_nobody, behind, in_child, outcome

needs_root = pytest.mark.skipif(not may_mount(), reason="only root may mount; run as root")


@needs_root
def test_what_is_needed_is_seen_and_its_neighbours_are_not(rooms: Path) -> None:
    (rooms / "private/python/lib").mkdir(parents=True)
    (rooms / "private/python/lib/os.py").write_text("os")
    (rooms / "private/keys").mkdir()
    (rooms / "private/file").write_text("f")
    (rooms / "private").chmod(0o700)
    user = free_user(rooms)
    create(rooms / "run", user)
    needed = (rooms / "private/python", rooms / "private/python/lib", rooms / "private/file")
    assert impassable(needed[0]) == rooms / "private"
    walls = Walls(rooms / "run", user, readable=needed)
    inside = lambda: [  # noqa: E731
        outcome(lambda: (rooms / "private/python/lib/os.py").read_text()),
        outcome(lambda: (rooms / "private/file").read_text()),
        outcome(lambda: list((rooms / "private/keys").iterdir())),
        outcome(lambda: (rooms / "private/new").touch()),
    ]
    assert behind(walls, inside) == ["done", "done", "ENOENT", "EACCES"]
    # And nothing has changed for anybody else.
    assert sorted(path.name for path in (rooms / "private").iterdir()) == [
        *("file", "keys", "python")
    ]


@needs_root
def test_shared_memory_is_the_run_s_own(rooms: Path) -> None:
    user = free_user(rooms)
    create(rooms / "run", user)
    mine = Path(f"/dev/shm/fedstate-walls-{os.getpid()}")  # noqa: S108
    mine.write_text("m")
    mine.chmod(0o666)
    key = ctypes.CDLL(None).shmget(0, 4096, 0o666 | 0o1000)
    try:
        inside = lambda: [  # noqa: E731
            outcome(mine.read_text),
            outcome(lambda: Path("/dev/shm/own").write_text("o")),  # noqa: S108
            Path("/proc/sysvipc/shm").read_text().count("\n"),
        ]
        assert behind(Walls(rooms / "run", user), inside) == ["ENOENT", "done", 1]
        assert not Path("/dev/shm/own").exists()  # noqa: S108
    finally:
        mine.unlink()
        ctypes.CDLL(None).shmctl(key, 0, None)


@needs_root
def test_shared_memory_is_limited(rooms: Path) -> None:
    user = free_user(rooms)
    create(rooms / "run", user)
    walls = Walls(rooms / "run", user, RunLimits(memory=2**20))
    libc = ctypes.CDLL(None)
    before = Path("/proc/sys/kernel/shmall").read_text()
    inside = lambda: [  # noqa: E731
        outcome(lambda: Path("/dev/shm/big").write_bytes(bytes(2**21))),  # noqa: S108
        libc.shmget(0, 2**19, 0o600 | 0o1000) >= 0,
        libc.shmget(0, 2**20, 0o600 | 0o1000) >= 0,
    ]
    assert behind(walls, inside) == ["ENOSPC", True, False]
    assert Path("/proc/sys/kernel/shmall").read_text() == before


def test_without_root_shared_memory_is_the_run_s_own(rooms: Path) -> None:
    if as_nobody(lambda: outcome(mounts.own_memory)) != "done":
        pytest.skip("this kernel lets no user have namespaces: sysctl user.max_user_namespaces")
    (rooms / "run").mkdir(mode=0o777)
    (rooms / "run").chmod(0o777)
    walls = Walls(rooms / "run", limits=RunLimits(memory=2**20), own_memory=True)

    def inside() -> list[object]:
        mine = Path(f"/dev/shm/fedstate-walls-{os.getpid()}")  # noqa: S108
        mine.write_text("m")
        try:
            libc = ctypes.CDLL(None)
            key = libc.shmget(0, 4096, 0o666 | 0o1000)

            def behind_walls() -> list[object]:
                enter(walls)
                return [
                    outcome(mine.read_text),
                    outcome(lambda: Path("/dev/shm/own").write_text("o")),  # noqa: S108
                    outcome(lambda: Path("/dev/shm/big").write_bytes(bytes(2**21))),  # noqa: S108
                    Path("/proc/sysvipc/shm").read_text().count("\n"),
                    os.getuid(),
                    system.effective_capabilities(),
                    (rooms / "run").stat().st_uid,
                ]

            try:
                return list(in_child(behind_walls))
            finally:
                libc.shmctl(key, 0, None)
        finally:
            mine.unlink()

    *found, user, capabilities, owner = as_nobody(inside)
    assert found == ["ENOENT", "done", "ENOSPC", 1]
    assert user == as_nobody(os.getuid)
    assert capabilities == 0
    # Whoever is not in the namespace is nobody there.
    assert owner == 65534


def test_without_root_what_is_closed_is_hidden_with_the_users_sockets(rooms: Path) -> None:
    if as_nobody(lambda: outcome(mounts.own_memory)) != "done":
        pytest.skip("this kernel lets no user have namespaces: sysctl user.max_user_namespaces")
    rooms.chmod(0o777)

    def inside() -> list[object]:
        for name in ("runs/own", "runs/other", "private", "public"):
            (rooms / name).mkdir(parents=True)
        (rooms / "private").chmod(0o700)
        (rooms / "runs/other/file").touch()
        with ExitStack() as stack:
            for name in ("runs/own/s", "runs/other/s", "private/s", "public/s", "public/closed"):
                listener = stack.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(str(rooms / name))
                (rooms / name).chmod(0o600 if name.endswith("closed") else 0o666)
                listener.listen()
            _, its = os.openpty()
            terminal = os.ttyname(its)

            def behind_walls() -> list[object]:
                closed = (rooms / "runs", rooms / "runs/other", rooms / "nothing")
                enter(Walls(rooms / "runs/own", landlock=abi(), closed=closed, own_memory=True))
                return [
                    outcome((rooms / "runs/other").stat),
                    outcome(lambda: (rooms / "runs/other").chmod(0o777)),
                    *(outcome(partial(_connect, rooms / name)) for name in _SOCKETS),
                    outcome(lambda: os.open(terminal, os.O_RDWR | os.O_NOCTTY)),
                    outcome(os.openpty),
                    outcome(lambda: (rooms / "runs/own/new").touch()),
                ]

            return list(in_child(behind_walls))

    *found, opened, own_terminal, own_file = as_nobody(inside)
    refused = ("ENOENT", "ECONNREFUSED", "ENOTSOCK")
    assert found[:3] == ["ENOENT", "ENOENT", "done"]
    assert found[3] == "done"
    assert all(each in refused for each in found[4:]), found
    assert opened in ("ENOENT", "EACCES")
    assert (own_terminal, own_file) == ("done", "done")


# Its own and one for everybody; then those of another run and of this user's programs.
_SOCKETS = ("runs/own/s", "public/s", "runs/other/s", "private/s", "public/closed")


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
