"""What many messages of many runs leave behind: nothing, though each leaves what it can."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.stack.executor.conftest import Executor, Node, children_of, probe_fab
from tests.waiting import wait_until

from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.walls.processes import descendants, of_user

# The whole is 500 messages of 50 runs: make test-long.
RUNS, MESSAGES = (50, 500) if os.environ.get("FEDSTATE_SLOW") else (5, 50)
GROWTH_BYTES = 8 * 2**20
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
SECONDS = 250.0


class TellingNode(Node):
    """A node that tells an executor of tasks, and of runs that have ended."""

    def __init__(self) -> None:
        self.signals = Signals(closing=lambda: self._server.should_exit)
        self._over: set[int] = set()
        self._ends = self.signals.tell_ends(lambda _: [], lambda ids: self._over & {*ids})

        def prepare(app: FastAPI) -> None:
            serve(app, self.signals, runtime_router)

        super().__init__(prepare=prepare)

    def stop(self) -> None:
        self._server.should_exit = True
        self.signals.wake()  # who waits for a task is answered, and not waited for
        super().stop()

    def run_all(self, run_ids: range, messages: int) -> list[dict[str, Any]]:
        """Let runs have messages, in turn; return what their app answers, and end the runs."""
        for run_id in run_ids:
            self.add_run(run_id, probe_fab())
        asked = [self.ask(run_ids[n % len(run_ids)], "litter") for n in range(messages)]
        self.signals.tasks.notify()
        answers = [self.read(self.reply(message, SECONDS)) for message in asked]
        self._over |= {*run_ids}
        self._ends.notify()
        return answers


@pytest.fixture
def fresh_node() -> Iterator[TellingNode]:
    node = TellingNode()
    yield node
    node.stop()


def test_runs_leave_nothing_behind(
    fresh_node: TellingNode, start: Callable[..., Executor], tmp_path: Path
) -> None:
    rooms = tmp_path / "rooms"
    executor = start(
        *("--preload", "numpy", "--max-concurrent-tasks", "4", "--rooms", str(rooms))
    )
    server = executor.fork_server()
    trusted = [executor.process.pid, executor.pid, server]

    def clear() -> bool:
        return (
            [each.pid for each in descendants(trusted[0])] == trusted[1:]
            and children_of(server) == []
            and [each.name for each in rooms.iterdir()] == [".lock"]
        )

    fresh_node.run_all(range(1, 3), 8)
    wait_until(clear, SECONDS, "the end of the first runs' rooms")
    before = {pid: footprint(pid) for pid in trusted}
    answers = fresh_node.run_all(range(3, 3 + RUNS), MESSAGES)
    wait_until(clear, SECONDS, "the end of all rooms")

    assert len({answer["pid"] for answer in answers}) == MESSAGES
    assert {answer["calls"] for answer in answers} == {1}
    assert len({answer["descriptors"] for answer in answers}) <= 3
    assert all(answer["left"] for answer in answers)
    users = {answer["user"] for answer in answers} - {os.getuid()}
    assert len(users) == (RUNS if os.getuid() == 0 else 0)
    assert [user for user in users if of_user(user)] == []
    left = [path for place in SHARED for path in Path(place).iterdir() if _owner(path) in users]
    assert left == []
    names = {Path(path).name for answer in answers for path in answer["left"]}
    assert [
        path for place in SHARED for path in Path(place).iterdir() if path.name in names
    ] == []

    def closed() -> bool:
        return all(footprint(pid)[0] <= before[pid][0] for pid in trusted)

    wait_until(closed, what="that no descriptor is open any longer")
    for pid in trusted:
        assert footprint(pid)[1] < before[pid][1] + GROWTH_BYTES


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:  # somebody else's, and gone meanwhile
        return None


def footprint(pid: int) -> tuple[int, int]:
    """Return the open descriptors and the resident bytes of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return descriptors, int(status["VmRSS"].split()[0]) * 1024
