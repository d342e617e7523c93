"""The one socket that a run has to reach, and those beside it, which it must not."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedstate.unix_sockets import PASSAGE_MODE, by_descriptor, connect, listen
from fedstate.walls import Walls, directories, enter, landlock, mounts
from tests.unit.walls.conftest import NOBODY, as_nobody, in_child, outcome

USER = 1_900_000_001
NAME = "api.sock"


@dataclass
class Nodes:
    """Two nodes of a federation: each has a directory, and in it that of its socket."""

    federation: Path
    room: Path

    def passage(self, number: int) -> Path:
        return self.federation / f"node-{number}" / "runtime"

    def make(self, stack: ExitStack, owner: int) -> None:
        """Make all of it, for this user, and listen."""
        self.federation.mkdir(mode=0o700)
        made = [self.federation]
        for number in (1, 2):
            passage = self.passage(number)
            passage.parent.mkdir(mode=0o700)
            passage.mkdir()
            passage.chmod(PASSAGE_MODE)
            bound = listen(passage / NAME, 100, what="API")
            stack.callback(bound.socket.close)
            made += [passage.parent, passage, bound.path]
        for path in made:
            os.chown(path, owner, owner)


@pytest.fixture
def nodes(rooms: Path, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    owner = int(getattr(request, "param", os.geteuid()))
    with ExitStack() as stack:
        made = Nodes(rooms / "federation", rooms / "rooms" / "1")
        made.room.parent.mkdir()
        made.room.parent.chmod(0o711)
        made.make(stack, owner)
        yield made


def reached(own: str, nodes: Nodes) -> dict[str, str]:
    """Connect to every socket in every way; called behind the walls."""
    other = nodes.passage(2) / NAME
    return {
        "own": outcome(lambda: connect(own, 5).close()),
        "other": outcome(lambda: connect(other, 5).close()),
        "other by the way of its own": outcome(
            lambda: connect(f"{own}/../../../node-2/runtime/{NAME}", 5).close()
        ),
        "up": outcome(lambda: os.listdir(f"{Path(own).parent}/..")),  # noqa: PTH208
        "further up": outcome(lambda: os.stat(f"{Path(own).parent}/../../..")),  # noqa: PTH116
        "other from above": outcome(
            lambda: connect(f"{Path(own).parent}/../../node-2/runtime/{NAME}", 5).close()
        ),
        "a socket in its place": outcome(lambda: Path(own).unlink()),
        "a file beside it": outcome(lambda: Path(own).with_name("more").touch()),
    }


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("mounting", [True, False])
@pytest.mark.parametrize("abi", [0, landlock.abi()])
def test_a_user_of_its_own_reaches_the_socket_past_what_it_cannot_pass(
    nodes: Nodes, abi: int, *, mounting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mounting:  # as in a container
        monkeypatch.setattr(mounts, "may_mount", lambda: False)
    directories.create(nodes.room, USER)
    records = nodes.federation / "runs"
    records.mkdir()
    walls = Walls(
        nodes.room,
        user=USER,
        landlock=abi,
        closed=(nodes.federation,),
        # Below the same directory, which in the run's view has nothing else in it.
        writable=(records,),
        passage=nodes.passage(1),
    )

    def inside() -> dict[str, str]:
        descriptor = enter(walls)
        assert descriptor is not None
        assert not os.get_inheritable(descriptor)
        return reached(by_descriptor(descriptor, NAME), nodes)

    told = in_child(inside)
    assert told.pop("own") == "done"
    assert set(told.values()) <= {"EACCES", "EPERM", "ENOENT", "ENOTDIR"}, told


NAMESPACES = pytest.mark.skipif(
    as_nobody(lambda: outcome(mounts.own_memory)) != "done",
    reason="this system lets its users have no namespaces",
)


@NAMESPACES
@pytest.mark.parametrize("nodes", [NOBODY if os.geteuid() == 0 else os.geteuid()], indirect=True)
def test_without_users_the_socket_is_in_the_runs_own_view(nodes: Nodes) -> None:
    directories.create(nodes.room, NOBODY if os.geteuid() == 0 else None)
    walls = Walls(
        nodes.room,
        landlock=landlock.abi(),
        closed=(nodes.federation,),
        passage=nodes.passage(1),
        own_memory=True,
    )

    def inside() -> dict[str, str]:
        assert enter(walls) is None, "a descriptor would lead out of the view"
        return reached(str(nodes.passage(1) / NAME), nodes)

    told = as_nobody(inside)
    assert told.pop("own") == "done"
    del told["up"], told["further up"]  # directories of the run's own view
    assert set(told.values()) <= {"EACCES", "EPERM", "ENOENT", "ENOTDIR", "EXDEV"}, told


def test_walls_without_a_passage_have_no_descriptor(rooms: Path) -> None:
    directories.create(rooms / "1", None)
    assert in_child(lambda: enter(Walls(rooms / "1"))) is None
