"""Where root's Python lies behind closed doors, a run still sees it, and nothing else of it."""

import ctypes
import os
from pathlib import Path

import pytest

from fedstate import system
from fedstate.walls import RunLimits, Walls, enter, mounts
from fedstate.walls.directories import create
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
