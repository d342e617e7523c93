"""Walls hold: each test puts a real process behind real ones and has it try."""

import ctypes
import errno
import functools
import os
import resource
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from fedstate import system
from fedstate.walls import RunLimits, Walls, enter, landlock
from fedstate.walls.directories import create
from fedstate.walls.users import free_user
from tests.unit.walls.conftest import as_nobody, behind, in_child, outcome

needs_landlock = pytest.mark.skipif(
    not landlock.abi(), reason="this kernel has no Landlock; try a newer one"
)


def room(rooms: Path, *, user: bool) -> Walls:
    uid = free_user(rooms) if user else None
    directory = rooms / "run"
    create(directory, uid)
    return Walls(directory, user=uid)


def test_walls_travel_as_json() -> None:
    walls = Walls(
        Path("/a"),
        7,
        RunLimits(processes=3),
        6,
        (Path("/b"),),
        (Path("/c"),),
        (Path("/d"),),
        (1,),
    )
    assert Walls.from_json(walls.to_json()) == walls


@pytest.mark.usefixtures("root")
class TestUsers:
    """A user of the run's own."""

    def test_the_process_is_that_user_with_no_group_and_no_capability(self, rooms: Path) -> None:
        walls = room(rooms, user=True)
        status = behind(walls, lambda: Path("/proc/self/status").read_text())
        values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        values = {name: value.strip() for name, value in values.items()}
        assert values["Uid"].split() == [str(walls.user)] * 4
        assert values["Gid"].split() == [str(walls.user)] * 4
        assert not values["Groups"].strip()
        assert values["NoNewPrivs"] == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(values[name], 16) == 0, name

    def test_it_cannot_become_anybody_else(self, rooms: Path) -> None:
        walls = room(rooms, user=True)
        assert behind(walls, lambda: outcome(lambda: os.setuid(0))) == "EPERM"
        assert behind(walls, lambda: outcome(lambda: os.setgroups([0]))) == "EPERM"

    def test_it_writes_its_own_directory_and_reads_no_other(self, rooms: Path) -> None:
        walls = room(rooms, user=True)
        other = rooms / "other"
        create(other, free_user(rooms))
        assert behind(walls, lambda: outcome(lambda: (walls.directory / "f").touch())) == "done"
        assert behind(walls, lambda: outcome(lambda: os.listdir(other))) == "EACCES"  # noqa: PTH208
        assert behind(walls, lambda: outcome(lambda: os.listdir(rooms))) == "EACCES"  # noqa: PTH208

    def test_memory_descriptors_and_environment_of_the_other_side_are_out_of_reach(
        self, rooms: Path
    ) -> None:
        walls = room(rooms, user=True)
        parent = os.getpid()
        for name in ("environ", "mem", "maps", "fd/0"):
            path = f"/proc/{parent}/{name}"
            read = functools.partial(os.open, path, os.O_RDONLY)
            assert behind(walls, functools.partial(outcome, read)) in ("EACCES", "EPERM")
        assert behind(walls, lambda: outcome(lambda: os.kill(parent, signal.SIGCONT))) == "EPERM"

    def test_nobody_of_the_same_user_reads_its_memory(self, rooms: Path) -> None:
        walls = room(rooms, user=True)

        def look_at_parent() -> str:
            parent = os.getpid()
            return str(in_child(lambda: outcome(lambda: open(f"/proc/{parent}/mem", "rb"))))  # noqa: PTH123

        assert behind(walls, look_at_parent) == "EACCES"

    def test_limits_on_processes_hold(self, rooms: Path) -> None:
        walls = room(rooms, user=True)
        limited = Walls(walls.directory, walls.user, RunLimits(processes=5, open_files=50))

        def fork_many() -> str:
            children = []
            try:
                for _ in range(10):
                    if (pid := os.fork()) == 0:
                        signal.pause()
                    children.append(pid)
            except OSError as error:
                return str(limited.limits.hint(error))
            finally:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
            return "all were forked"

        assert "5 processes" in behind(limited, fork_many)
        assert behind(limited, lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1]) == 50

    def test_shared_memory_of_another_run_is_out_of_reach(self, rooms: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        key = libc.shmget(0x6665 + os.getpid(), 4096, 0o600 | 0o1000)
        assert key >= 0
        walls = room(rooms, user=True)

        def attach() -> int:
            libc.shmat.restype = ctypes.c_long
            return int(libc.shmat(key, None, 0)) == -1 and ctypes.get_errno()

        try:
            # Denied; or, where the run has a namespace of its own, not there.
            assert behind(walls, attach) in (errno.EACCES, errno.EINVAL)
        finally:
            libc.shmctl(key, 0, None)


@pytest.mark.usefixtures("root")
def test_root_without_users_keeps_no_capability(rooms: Path) -> None:
    walls = room(rooms, user=False)
    assert behind(walls, system.effective_capabilities) == 0
    assert behind(walls, lambda: outcome(lambda: os.chown(walls.directory, 1, 1))) == "EPERM"


def _connect(server: socket.socket) -> None:
    with socket.socket() as client:
        client.connect(server.getsockname())


@needs_landlock
class TestLandlock:
    """The wall that needs no root."""

    def walls(self, rooms: Path, **more: object) -> Walls:
        directory = rooms / "run"
        directory.mkdir(mode=0o777)
        directory.chmod(0o777)
        return Walls(directory, landlock=landlock.abi(), **more)  # type: ignore[arg-type]

    def test_it_reads_what_is_not_closed_and_writes_its_own(self, rooms: Path) -> None:
        secret = rooms / "secrets"
        secret.mkdir()
        (secret / "key").write_text("k")
        (rooms / "data").write_text("d")
        walls = self.walls(rooms, closed=(secret,))

        def inside() -> list[str]:
            enter(walls)
            return [
                outcome(lambda: (secret / "key").read_text()),
                outcome(lambda: (rooms / "data").read_text()),
                outcome(lambda: (walls.directory / "own").write_text("o")),
                outcome(lambda: (rooms / "new").write_text("n")),
                outcome(lambda: Path("/dev/null").write_text("n")),
                outcome(lambda: os.link(secret / "key", walls.directory / "link")),
                outcome(lambda: Path("/etc/hostname").read_text()),
                outcome(lambda: Path("/tmp/fedstate-walls-test").touch()),  # noqa: S108
            ]

        rooms.chmod(0o777)
        assert as_nobody(inside) == [
            *("EACCES", "done", "done", "EACCES", "done"),
            *("EPERM", "done", "EACCES"),
        ]

    def test_what_is_closed_stays_so_below_something_readable(self, rooms: Path) -> None:
        (rooms / "project/.fedstate").mkdir(parents=True)
        (rooms / "project/.fedstate/key").write_text("k")
        (rooms / "project/data").write_text("d")
        walls = self.walls(
            rooms, closed=(rooms / "project/.fedstate",), readable=(rooms / "project",)
        )
        inside = lambda: [  # noqa: E731
            outcome(lambda: (rooms / "project/.fedstate/key").read_text()),
            outcome(lambda: (rooms / "project/data").read_text()),
        ]
        assert behind(walls, inside) == ["EACCES", "done"]

    def test_the_home_directory_is_closed_but_for_what_is_readable(
        self, rooms: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = rooms / "home"
        (home / "environment").mkdir(parents=True)
        (home / "diary").write_text("d")
        (home / "environment/module.py").write_text("m")
        monkeypatch.setenv("HOME", str(home))
        walls = self.walls(rooms, readable=(home / "environment",))
        inside = lambda: [  # noqa: E731
            outcome(lambda: (home / "diary").read_text()),
            outcome(lambda: (home / "environment/module.py").read_text()),
        ]
        assert behind(walls, inside) == ["EACCES", "done"]

    @pytest.mark.skipif(landlock.abi() < landlock.SCOPES_ABI, reason="needs Landlock ABI 6")
    def test_no_signal_and_no_memory_outside(self, rooms: Path) -> None:
        walls = self.walls(rooms)
        other = subprocess.Popen(["sleep", "60"])
        try:
            inside = lambda: [  # noqa: E731
                outcome(lambda: os.kill(other.pid, signal.SIGTERM)),
                outcome(lambda: os.close(os.open(f"/proc/{other.pid}/environ", os.O_RDONLY))),
                outcome(lambda: os.close(os.open(f"/proc/{other.pid}/mem", os.O_RDONLY))),
            ]
            assert behind(walls, inside) == ["EPERM", "EACCES", "EACCES"]
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()

    @pytest.mark.skipif(landlock.abi() < landlock.SCOPES_ABI, reason="needs Landlock ABI 6")
    def test_no_abstract_socket_outside(self, rooms: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(f"\0fedstate-walls-{os.getpid()}")
            server.listen()
            address = server.getsockname()
            assert behind(
                self.walls(rooms), lambda: outcome(lambda: client.connect(address))
            ) == ("EPERM")

    @pytest.mark.skipif(landlock.abi() < landlock.PORTS_ABI, reason="needs Landlock ABI 4")
    def test_closed_ports_are_closed_and_others_open(self, rooms: Path) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as one,
            socket.create_server(("127.0.0.1", 0)) as two,
        ):
            walls = self.walls(rooms, closed_ports=(one.getsockname()[1],))
            inside = lambda: [  # noqa: E731
                outcome(functools.partial(_connect, each)) for each in (one, two)
            ]
            assert behind(walls, inside) == ["EACCES", "done"]

    @pytest.mark.skipif(landlock.abi() < landlock.PORTS_ABI, reason="needs Landlock ABI 4")
    def test_nobody_listens_in_the_place_of_a_service(self, rooms: Path) -> None:
        """Not even while it is not there, such as between its end and its start."""
        with ExitStack() as stack:
            servers = [
                stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)
            ]
            ports = [each.getsockname()[1] for each in servers]
        walls = self.walls(rooms, closed_ports=(ports[0],), taken_ports=(ports[1],))
        inside = lambda: [  # noqa: E731
            outcome(functools.partial(socket.create_server, ("127.0.0.1", port)))
            for port in (*ports, 0)
        ]
        assert behind(walls, inside) == ["EACCES", "EACCES", "done", "done"]

    def test_its_children_are_inside_too(self, rooms: Path) -> None:
        walls = self.walls(rooms, closed=(rooms / "secrets",))
        (rooms / "secrets").mkdir()
        (rooms / "secrets/key").write_text("k")
        code = behind(
            walls,
            lambda: (
                subprocess.run(
                    ["cat", str(rooms / "secrets/key")], capture_output=True, check=False
                ).returncode
            ),
        )
        assert code == 1
