"""Which tasks a pool takes on, and what it does when their processes end, or do not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.executor.conftest import SECONDS, Clock, Reports, close_at_once, order, settle
from tests.unit.executor.scripted import MESSAGE

from fedstate.executor.pool import Limits, TaskPool
from fedstate.flower.task_order import TaskKind
from fedstate.process_table import living
from fedstate.waiting import wait_until

MakePool = Callable[..., TaskPool]
ALL = frozenset(TaskKind)


def run_to_the_end(pool: TaskPool) -> None:
    settle(pool, lambda: not pool.busy)


def begun(pool: TaskPool) -> None:
    settle(pool, lambda: all(task.message for task in pool._tasks))


def fork_server(pool: TaskPool) -> int:
    assert pool._servers is not None
    return pool._servers.current._process.pid


def test_there_is_room_once_the_fork_server_is_ready(make_pool: MakePool) -> None:
    pool = make_pool()
    assert pool.kinds_with_room() == frozenset()
    settle(pool, lambda: pool.ready)
    assert pool.kinds_with_room() == ALL


def test_by_default_there_is_room_for_a_clientapp_on_each_core(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pool = make_pool()
    settle(pool, lambda: pool.ready)
    for number in range(1, 4):
        pool.launch(order("started pulled wait", number, TaskKind.SERVER_APP))
    pool.launch(order("started pulled wait", 4))
    assert pool.kinds_with_room() == ALL
    pool.launch(order("started pulled wait", 5))
    assert pool.kinds_with_room() == ALL - {TaskKind.CLIENT_APP}
    assert pool.task_ids() == [1, 2, 3, 4, 5]


def test_a_limit_holds_for_tasks_of_every_kind(make_pool: MakePool) -> None:
    pool = make_pool(Limits(concurrent=2))
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled finished", 1))
    assert pool.kinds_with_room() == ALL
    pool.launch(order("started finished exit:0", 2, TaskKind.SERVER_APP))
    assert pool.kinds_with_room() == frozenset()
    run_to_the_end(pool)
    assert pool.kinds_with_room() == ALL


def test_a_task_that_has_finished_holds_no_place_while_its_threads_end(
    make_pool: MakePool, reports: Reports, clock: Clock
) -> None:
    pool = make_pool(Limits(concurrent=1))
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled replied finished deaf", 1))
    assert pool.kinds_with_room() == frozenset()
    settle(pool, lambda: pool.kinds_with_room() == ALL)
    assert pool.busy
    close_at_once(pool, clock)
    assert reports == []


@pytest.mark.parametrize("forks", [True, False], ids=["forked", "spawned"])
@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        # What the last event of a ClientApp was decides, and not its exit code.
        ("started pulled replied finished", TaskKind.CLIENT_APP, None),
        ("started pulled replied finished kill", TaskKind.CLIENT_APP, None),
        ("started kill", TaskKind.CLIENT_APP, "was ended by SIGKILL"),
        ("started pulled exit:3", TaskKind.CLIENT_APP, "ended with exit code 3"),
        ("started pulled replied exit:0", TaskKind.CLIENT_APP, "ended with exit code 0"),
        # The same of flwr's own programs, which an app may end before they have reported.
        ("started finished exit:1", TaskKind.SERVER_APP, None),
        ("started exit:0", TaskKind.SERVER_APP, "ended with exit code 0"),
        ("started exit:3", TaskKind.SERVER_APP, "ended with exit code 3"),
        ("started exit:3", TaskKind.SIMULATION, "ended with exit code 3"),
        ("started kill", TaskKind.SERVER_APP, "was ended by SIGKILL"),
    ],
)
def test_a_failure_that_the_process_has_not_reported_is_reported(
    make_pool: MakePool,
    reports: Reports,
    script: str,
    kind: TaskKind,
    reason: str | None,
    forks: bool,
) -> None:
    pool = make_pool(forks=forks)
    pool.launch(order(script, 7, kind))
    run_to_the_end(pool)
    assert [task_id for task_id, _ in reports] == ([] if reason is None else [7])
    if reason is not None:
        assert f"The process of the task {reason}" in reports[0][1]
        assert reports.tasks[0].message == (MESSAGE if "pulled" in script else None)
        assert reports.tasks[0].replied == ("replied" in script)


def test_what_a_process_said_last_counts_though_it_came_after_the_last_look(
    make_pool: MakePool, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    settle(pool, lambda: pool.ready)
    pool.launch(order("started pulled replied finished exit:0"))
    (task,) = pool._tasks
    receive = task.channel.receive
    held: list[dict[str, object]] = []
    looks: list[int] = []

    def late() -> list[dict[str, object]]:
        """Give the first event, nothing at the next look, and then the rest.

        The look that gives nothing reads nothing: it would see the end of the channel.
        """
        if task.child is None:
            held.extend(receive())
            return [held.pop(0)] if held else []
        looks.append(len(held))
        return [*held, *receive()] if len(looks) > 1 else []

    monkeypatch.setattr(task.channel, "receive", late)
    settle(pool, lambda: task.child is not None)
    assert wait_until(lambda: living(task.pid or 0) is None, SECONDS)
    run_to_the_end(pool)
    assert reports == []


def test_a_process_that_never_began_is_replaced_once(
    make_pool: MakePool, reports: Reports, tmp_path: Path
) -> None:
    pool = make_pool()
    pool.launch(order(f"first:{tmp_path}/flag started pulled replied finished", 1))
    run_to_the_end(pool)
    assert (tmp_path / "flag").exists()
    assert reports == []
    pool.launch(order("exit:3", 2))
    run_to_the_end(pool)
    assert reports == [(2, "The process of the task ended.")]


def test_a_task_past_its_limit_is_asked_to_stop(
    make_pool: MakePool, reports: Reports, clock: Clock
) -> None:
    pool = make_pool(Limits(seconds=30))
    pool.launch(order("started pulled wait exit:0"))
    begun(pool)
    clock.now += 30
    pool.reconcile()
    assert pool.busy
    assert reports == []
    clock.now += 1
    run_to_the_end(pool)
    assert reports == [(1, "The task exceeded its time limit of 30 s (--task-time-limit).")]


def test_a_task_that_does_not_stop_is_killed_after_its_grace(
    make_pool: MakePool, reports: Reports, clock: Clock
) -> None:
    pool = make_pool(Limits(seconds=30))
    pool.launch(order("started pulled deaf"))
    begun(pool)
    clock.now += 31
    pool.reconcile()
    clock.now += 5
    pool.reconcile()
    assert pool.busy
    clock.now += 1
    run_to_the_end(pool)
    assert reports == [(1, "The task exceeded its time limit of 30 s (--task-time-limit).")]


@pytest.mark.parametrize("forks", [True, False])
@pytest.mark.parametrize("script", ["started pulled wait", "started pulled deaf"])
def test_a_task_that_is_over_ends_at_once_and_nothing_is_reported(
    make_pool: MakePool,
    clock: Clock,
    reports: Reports,
    caplog: pytest.LogCaptureFixture,
    script: str,
    forks: bool,
) -> None:
    caplog.set_level("INFO", logger="flwr.fedstate")
    pool = make_pool(forks=forks)
    settle(pool, lambda: pool.ready)
    pool.launch(order(script, 1))
    pool.launch(order("started pulled wait", 2))
    begun(pool)
    pool.stop_task(1, "The run has ended.")
    pool.stop_task(4711, "It is not here.")
    if "deaf" in script:
        pool.reconcile()
        assert pool.task_ids() == [1, 2]
        clock.now += 1.1
    settle(pool, lambda: pool.task_ids() == [2])
    assert reports == []
    assert "Task 1 ended: The run has ended." in caplog.text


def test_a_wait_ends_when_a_process_is_to_be_killed(make_pool: MakePool, clock: Clock) -> None:
    pool = make_pool(forks=False)
    pool.launch(order("started deaf", 1))
    settle(pool, lambda: pool._tasks[0].channel.fileno() and pool._selector.select(0) == [])
    pool.stop_task(1, "The run has ended.")
    clock.now += 1
    assert not pool.wait(10 * SECONDS)


def test_tasks_outlive_their_fork_server_and_are_supervised_all_the_same(
    make_pool: MakePool, reports: Reports, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(Limits(seconds=30))
    pool.launch(order("started pulled wait finished exit:0", 1))
    begun(pool)
    pool.launch(order("started pulled deaf", 2))
    begun(pool)
    before = fork_server(pool)
    os.kill(before, signal.SIGKILL)
    settle(pool, lambda: fork_server(pool) != before and pool.ready)
    assert "The fork server was ended by SIGKILL" in caplog.text
    assert pool.task_ids() == [1, 2]
    clock.now += 31
    settle(pool, lambda: pool.task_ids() == [2])
    clock.now += 6
    run_to_the_end(pool)
    # Nobody saw how a process ended whose parent was gone; the first one had finished.
    assert reports == [(2, "The task exceeded its time limit of 30 s (--task-time-limit).")]


def test_a_task_asked_of_a_fork_server_that_dies_is_asked_of_the_next(
    make_pool: MakePool, reports: Reports
) -> None:
    pool = make_pool()
    settle(pool, lambda: pool.ready)
    os.kill(fork_server(pool), signal.SIGSTOP)
    pool.launch(order("started pulled replied finished"))
    os.kill(fork_server(pool), signal.SIGKILL)
    run_to_the_end(pool)
    assert reports == []


def test_closing_stops_the_tasks_and_reports_those_that_had_to_be_killed(
    make_pool: MakePool, reports: Reports, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    pool.launch(order("started pulled wait replied finished", 1))
    pool.launch(order("started pulled deaf", 2))
    begun(pool)
    whole = pool.wait

    def passing(seconds: float) -> bool:
        clock.now += 1
        return whole(seconds)

    monkeypatch.setattr(pool, "wait", passing)
    pool.close()
    assert reports == [(2, "The executor of the task was stopped.")]
    assert not pool.busy


def test_closing_starts_no_process_for_a_task_that_never_began(
    make_pool: MakePool, reports: Reports, tmp_path: Path
) -> None:
    pool = make_pool()
    settle(pool, lambda: pool.ready)
    os.kill(fork_server(pool), signal.SIGSTOP)
    pool.launch(order(f"first:{tmp_path}/flag"))
    os.kill(fork_server(pool), signal.SIGKILL)
    pool.close()
    assert reports == [(1, "The executor of the task was stopped.")]
    assert not (tmp_path / "flag").exists()


def test_whatever_is_added_ends_a_wait_until_the_pool_is_closed(
    make_pool: MakePool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(forks=False)
    wake = os.eventfd(0, os.EFD_NONBLOCK)

    class Source:
        def fileno(self) -> int:
            return wake

    pool.wake_on(Source())
    assert not pool.wait(0)
    os.eventfd_write(wake, 1)
    assert pool.wait(SECONDS)
    pool.launch(order("started pulled deaf"))
    begun(pool)
    whole, ended_early = pool.wait, []

    def passing(seconds: float) -> bool:
        clock.now += 3
        ended_early.append(whole(seconds))
        return ended_early[-1]

    monkeypatch.setattr(pool, "wait", passing)
    pool.close()
    assert not ended_early[0]
    os.close(wake)
