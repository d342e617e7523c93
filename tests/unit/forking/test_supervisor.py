"""The fork server in use, and what becomes of one that cannot do its work."""

import errno
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import ForkedChild, ForkServer, ForkServers
from fedstate.waiting import wait_until

SECONDS = 60.0
ENTRY = "entry_of_a_fork"


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give fork servers an entry, whose forks send their IDs and wait, and modules to import."""
    (tmp_path / f"{ENTRY}.py").write_text(
        "import os, socket\n"
        "from fedstate.forking.channel import Channel\n"
        "def run(descriptor):\n"
        "    channel = Channel(socket.socket(fileno=descriptor))\n"
        "    channel.send({'pid': os.getpid()})\n"
        "    os._exit(next(channel.receive(), {}).get('code', 9))\n"
    )
    # A machine on which there may be no further process while there is a file `full`.
    (tmp_path / "filling.py").write_text(
        "import errno, os, pathlib\n"
        "real = os.fork\n"
        "def fork():\n"
        "    if pathlib.Path(__file__).with_name('full').exists():\n"
        "        raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')\n"
        "    return real()\n"
        "os.fork = fork\n"
    )
    (tmp_path / "raising.py").write_text("raise OSError('no disk')\n")
    (tmp_path / "leaving.py").write_text("import os\nos._exit(4)\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(ENTRY, ())
    yield server
    server.close()


def supervise(servers: ForkServers) -> None:
    """Supervise until somebody's patience ends."""

    def replaced() -> bool:
        select.select([servers.current.channel], [], [], 1)
        servers.supervise()
        return False

    wait_until(replaced, SECONDS, poll_seconds=0)


def test_forks_end_as_they_are_told_and_how_is_known_once(server: ForkServer) -> None:
    channels = [server.fork() for _ in range(3)]
    pids = []
    for channel in channels:
        channel.socket.setblocking(True)
        (said,) = channel.receive()
        pids.append(said["pid"])
    assert len(set(pids)) == 3
    children = [ForkedChild(server, pid) for pid in pids]
    assert [child.poll() for child in children] == [None] * 3
    channels[0].send({"code": 3})
    channels[1].close()
    children[2].kill()
    endings: dict[int, Ending] = {}

    def all_ended() -> bool:
        server.listen()
        for pid, child in zip(pids, children, strict=True):
            if (ending := child.poll()) is not None:
                endings[pid] = ending
        return len(endings) == 3

    assert wait_until(all_ended, SECONDS)
    assert [endings[pid].code for pid in pids] == [3, 9, -9]
    assert [child.poll() for child in children] == [None] * 3


def test_a_fork_that_fails_is_said_to_whoever_asked_and_the_next_one_is_made(
    modules: Path,
) -> None:
    server = ForkServer(ENTRY, ("filling",))
    try:
        (modules / "full").touch()
        assert _first_words(server.fork()) == {"event": "unforked", "errno": errno.EAGAIN}
        (modules / "full").unlink()
        assert "pid" in _first_words(server.fork())
        assert server.alive
    finally:
        server.close()


def _first_words(channel: Channel) -> dict[str, object]:
    channel.socket.setblocking(True)
    (said,) = channel.receive()
    return said


def test_a_module_that_cannot_be_preloaded_ends_it_with_the_reason() -> None:
    servers = ForkServers(ENTRY, ("raising",))
    with pytest.raises(FederationError, match=r"'raising' of --preload cannot .*\(no disk\)"):
        supervise(servers)
    servers.current.close()


def test_a_fork_server_that_dies_over_its_imports_is_replaced_twice() -> None:
    servers = ForkServers(ENTRY, ("leaving",))
    first = servers.current
    with pytest.raises(FederationError, match="exit code 4 while it imported leaving, 3 times"):
        supervise(servers)
    assert servers.current is not first
    servers.current.close()


@pytest.mark.parametrize("importing", [False, True])
def test_a_stopped_fork_server_is_replaced(
    importing: bool, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (modules / "slow.py").write_text("import signal\nsignal.sigtimedwait([], 60)\n")
    monkeypatch.setattr("fedstate.forking.silence.PING_SECONDS", 0.1)
    monkeypatch.setattr("fedstate.forking.supervisor._SILENT_SECONDS", 1.0)
    servers = ForkServers(ENTRY, ("slow",) if importing else ())
    first = servers.current

    def supervised() -> Ending | None:
        select.select([servers.current.channel], [], [], 0.05)
        return servers.supervise()

    try:
        if not importing:
            assert wait_until(lambda: supervised() or servers.work, SECONDS)
        os.kill(first.pid, signal.SIGSTOP)
        ending = wait_until(supervised, SECONDS, poll_seconds=0)
        assert ending == Ending(-signal.SIGKILL)
        assert servers.current is not first
    finally:
        servers.current.kill()
        servers.current.close()


def test_a_fork_server_that_is_asked_now_and_then_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedstate.forking.silence.PING_SECONDS", 0.05)
    servers = ForkServers(ENTRY, ())

    def answered() -> bool:
        select.select([servers.current.channel], [], [], 0.02)
        assert servers.supervise() is None
        return servers.current.answered == 5

    try:
        assert not servers.work
        assert wait_until(answered, SECONDS, poll_seconds=0)
        assert servers.work
    finally:
        servers.current.close()
