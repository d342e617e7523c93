"""What a task leaves in its run's room ends with it, and nothing of another task does."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.unit.executor.conftest import Reports, order, settle
from tests.unit.executor.test_pool import begun, run_to_the_end
from tests.waiting import wait_until

from fedstate.executor.pool import TaskPool
from fedstate.executor.room_client import RoomClient
from fedstate.forking.channel import Channel
from fedstate.process_table import living
from fedstate.walls.processes import children

pytestmark = pytest.mark.usefixtures("walls")


def test_what_a_task_leaves_behind_ends_with_it(pool: TaskPool, directory: Path) -> None:
    pool.launch(order(f"started daemon:{directory}/pid finished", 1))
    run_to_the_end(pool)
    assert living(int((directory / "pid").read_text())) is None


def test_what_another_task_of_the_run_has_started_since_lives_on(
    pool: TaskPool, directory: Path, reports: Reports
) -> None:
    pool.launch(order("started pulled wait finished", 1))
    begun(pool)
    pool.launch(order(f"started daemon:{directory}/pid pulled wait finished", 2))
    begun(pool)
    daemon = int((directory / "pid").read_text())
    pool._tasks[0].channel.send({"stop": "enough"})
    settle(pool, lambda: pool.task_ids() == [2])
    assert living(daemon) is not None
    pool._tasks[0].channel.send({"stop": "enough"})
    run_to_the_end(pool)
    assert living(daemon) is None
    assert reports == []


def test_a_process_that_has_not_spoken_yet_is_not_left_behind_by_another_task(
    pool: TaskPool, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.launch(order("started pulled wait finished", 1))
    begun(pool)
    first = pool._tasks[0].pid
    assert first is not None
    fork = RoomClient.fork

    def fork_slowly(room: RoomClient, entry: str | None = None) -> Channel:
        """Return late, as on a busy machine: the kernel notes starts in 1/100 s."""
        channel = fork(room, entry)
        assert room.child is not None
        pid = room.child.pid
        # A process that has ended is a child until its end is known.
        wait_until(lambda: {*children(pid)} - {first})
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))
        return channel

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: living(first) is None)
    monkeypatch.setattr(RoomClient, "fork", fork_slowly)
    pool.launch(order("started pulled wait finished", 2))
    settle(pool, lambda: pool.task_ids() == [2])
    begun(pool)
    (second,) = pool._tasks
    # One that is killed before it has said a word would be started again.
    assert not second.relaunched
    assert second.pid is not None
    assert living(second.pid) is not None
    assert [task_id for task_id, _ in reports] == [1]
