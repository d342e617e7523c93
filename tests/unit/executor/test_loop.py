"""When the executor's loop asks for tasks, and what it makes of the answers."""

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import NamedTuple, cast

import pytest
from tests.unit.executor.conftest import Clock, Server, order

from fedstate.errors import FederationError
from fedstate.executor import notifications
from fedstate.executor.loop import TaskLoop
from fedstate.executor.notifications import TaskNotifications
from fedstate.executor.pool import Limits, TaskPool
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.tasks import TaskServerUnavailableError
from fedstate.waiting import wait_until

SECONDS = 60.0
FLWRS_OWN = pytest.mark.parametrize("server", [False], indirect=True)


class Executor(NamedTuple):
    """A loop that has a server, and processes that do well."""

    server: Server
    pool: TaskPool
    notifications: TaskNotifications
    loop: TaskLoop

    def asked(self) -> int:
        return self.server.asked.count("acquire-task")

    def polls_until_idle(self) -> int:
        """Return how many tasks were taken."""
        taken = 0
        while self.loop.poll():
            taken += 1
        return taken


@pytest.fixture
def start(
    server: Server, make_pool: Callable[..., TaskPool], clock: Clock
) -> Iterator[Callable[..., Executor]]:
    started: list[Executor] = []
    with server.source() as source:

        def begin(limits: Limits = Limits()) -> Executor:  # noqa: B008
            pool = make_pool(limits, forks=False)
            notified = TaskNotifications(source, pool.task_ids, retry_seconds=0.02)
            loop = TaskLoop(source, pool, notified, clock=clock)
            started.append(Executor(server, pool, notified, loop))
            return started[-1]

        yield begin
        for executor in started:
            executor.notifications.close()
        server.signals.tasks.notify()
        for executor in started:
            executor.notifications._thread.join(SECONDS)


@pytest.fixture
def notified(start: Callable[..., Executor], monkeypatch: pytest.MonkeyPatch) -> Executor:
    """An executor that has heard that the server notifies, and has polled since."""
    # Longer than a test: what is waited for has to come by itself.
    monkeypatch.setattr(notifications, "_WAIT_SECONDS", 10 * SECONDS)
    executor = start()
    assert wait_until(lambda: executor.notifications.active, SECONDS)
    assert executor.polls_until_idle() == 0
    assert wait_until(lambda: executor.server.asked.count("wait-for-tasks") == 2, SECONDS)
    return executor


@pytest.mark.parametrize("server", [True, False], indirect=True)
def test_all_pending_tasks_are_taken_and_run(start: Callable[..., Executor]) -> None:
    executor = start()
    for _ in range(3):
        executor.server.node.ask(1, "tell")
    assert executor.polls_until_idle() >= 1
    assert wait_until(
        lambda: executor.polls_until_idle() == 0 and not executor.pool.busy, SECONDS
    )
    assert not executor.server.node.tasks("pending")


@FLWRS_OWN
def test_a_task_is_asked_for_only_where_there_is_room(start: Callable[..., Executor]) -> None:
    executor = start(Limits(concurrent=1))
    for _ in range(2):
        executor.server.node.ask(1, "tell")
    assert executor.loop.poll()
    (first,) = executor.pool.task_ids()
    asked = executor.asked()
    # Nothing is heard of the process yet: a poll looks after it, but this one is not asked.
    executor.pool.reconcile = lambda: None  # type: ignore[method-assign]
    assert not executor.loop.poll()
    assert executor.asked() == asked
    del executor.pool.reconcile
    assert wait_until(lambda: executor.loop.poll(), SECONDS)
    assert executor.pool.task_ids() != [first]


@FLWRS_OWN
def test_without_notifications_every_poll_asks(start: Callable[..., Executor]) -> None:
    executor = start()
    for count in range(1, 4):
        assert not executor.loop.poll()
        assert executor.asked() == count


def test_with_notifications_a_poll_without_a_cause_asks_nobody(
    notified: Executor, clock: Clock
) -> None:
    asked = notified.asked()
    clock.now += 5
    assert not notified.loop.poll()
    assert notified.asked() == asked


def test_with_notifications_tasks_are_asked_for_now_and_then_all_the_same(
    notified: Executor, clock: Clock
) -> None:
    asked = notified.asked()
    clock.now += 5.1
    assert not notified.loop.poll()
    assert notified.asked() == asked + 1


def test_a_server_that_notifies_of_every_task_is_asked_rarely(
    notified: Executor, clock: Clock
) -> None:
    notified.notifications.complete = True
    asked = notified.asked()
    clock.now += 29
    assert not notified.loop.poll()
    assert notified.asked() == asked
    clock.now += 2
    assert not notified.loop.poll()
    assert notified.asked() == asked + 1


def test_a_notification_whose_poll_failed_is_not_the_last(
    notified: Executor, clock: Clock
) -> None:
    notified.notifications.complete = True
    source, answers = notified.loop._source, list[object]()

    class Failing:
        def acquire(self, kinds: Collection[TaskKind]) -> TaskOrder | None:
            answers.append(kinds)
            if len(answers) == 1:
                raise TaskServerUnavailableError("as the test wants it")
            return source.acquire(kinds)

    notified.loop._source = Failing()
    notified.server.signals.tasks.notify()
    notified.loop.wait()
    assert not notified.loop.poll()
    clock.now += 5.1
    assert not notified.loop.poll()
    assert len(answers) == 2


def test_of_fewer_kinds_nobody_is_asked(
    notified: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = notified.asked()
    for kinds, more in (
        (frozenset(TaskKind) - {TaskKind.CLIENT_APP}, 0),
        (frozenset(TaskKind), 1),
        (frozenset(TaskKind), 1),
        (frozenset[TaskKind](), 1),
        (frozenset({TaskKind.SERVER_APP}), 2),
    ):
        monkeypatch.setattr(notified.pool, "kinds_with_room", functools.partial(frozenset, kinds))
        assert not notified.loop.poll()
        assert notified.asked() == asked + more


def test_a_notification_ends_the_wait_and_has_tasks_asked_for(notified: Executor) -> None:
    asked = notified.asked()
    notified.server.node.ask(1, "tell")
    notified.server.signals.tasks.notify()
    notified.loop.wait()
    assert notified.loop.poll()
    assert notified.asked() == asked + 1


def test_one_notification_is_enough_for_many_tasks(
    notified: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for _ in range(3):
        notified.server.node.ask(1, "tell")
    notified.server.signals.tasks.notify()
    notified.loop.wait()
    assert notified.polls_until_idle() == 3


def test_the_end_of_a_task_makes_room_and_has_tasks_asked_for(
    notified: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    node = notified.server.node
    node.ask(1, "tell")
    notified.server.signals.tasks.notify()
    notified.loop.wait()
    assert notified.loop.poll()
    node.ask(1, "tell")  # and nobody notifies
    # It is asked for when the process of the first has ended.
    assert wait_until(notified.loop.poll, SECONDS, sleep=notified.pool.wait)


def test_a_server_that_fails_is_logged_once_and_so_is_its_return(
    start: Callable[..., Executor], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    executor = start()
    executor.server.failing |= {"acquire-task": 503, "wait-for-tasks": 503}
    for _ in range(3):
        assert not executor.loop.poll()
    assert executor.asked() == 3
    assert caplog.text.count("The server cannot be asked for tasks (Server error '503") == 1
    assert "The server is reached" not in caplog.text
    executor.server.failing.clear()
    executor.loop.poll()
    executor.loop.poll()
    assert caplog.text.count("The server is reached.") == 1


@pytest.mark.parametrize("status", [401, 403, 404, 418])
def test_an_executor_that_is_refused_ends(
    server: Server, start: Callable[..., Executor], status: int
) -> None:
    server.failing |= {"acquire-task": status, "wait-for-tasks": status}
    executor = start()
    with pytest.raises(FederationError, match=f"status {status}"):
        executor.loop.poll()


@FLWRS_OWN
@pytest.mark.parametrize("status", [401, 403])
def test_an_executor_that_has_worked_goes_on_when_it_is_refused(
    start: Callable[..., Executor], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level("INFO")
    executor = start()
    executor.loop.poll()
    # A server that comes back with another secret is not only one that was away.
    for failing, polls in ((503, 2), (status, 2)):
        executor.server.failing["acquire-task"] = failing
        for _ in range(polls):
            assert not executor.loop.poll()
    said = [
        each.getMessage() for each in caplog.records if "cannot be asked" in each.getMessage()
    ]
    assert len(said) == 2
    assert f"refuses this executor (status {status}) since a clock was set" in said[1]
    executor.server.failing.clear()
    executor.server.node.ask(1, "tell")
    assert wait_until(executor.loop.poll, SECONDS)
    assert "The server is reached." in caplog.text


def test_a_task_that_has_ended_at_the_server_is_stopped_and_its_slot_is_free(
    notified: Executor,
) -> None:
    over: list[int] = []
    ends = notified.server.signals.tell_ends(lambda ids: set(over) & set(ids), lambda _: [])
    # The request under way began when nobody told of ends, and the one after it does not know yet
    # that somebody does.
    waits = functools.partial(notified.server.asked.count, "wait-for-tasks")
    for script in ("", "started deaf"):
        before = waits()
        notified.server.signals.tasks.notify()
        assert wait_until(notified.notifications.received, SECONDS)
        if script:
            notified.pool.launch(order(script, 7))
        notified.loop.poll()
        assert wait_until(functools.partial(_differs, waits, before), SECONDS)
    over.append(7)
    ends.notify()

    def free() -> bool:
        while notified.loop.poll():
            pass
        notified.loop.wait()
        return not notified.pool.busy

    # It ignores what it is told, and the clock stands still but for this.
    assert wait_until(lambda: not free() and notified.pool._tasks[0].over, SECONDS)
    cast("Clock", notified.loop._clock).now += 1.1
    assert wait_until(free, SECONDS)


def _differs(value: Callable[[], int], before: int) -> bool:
    return value() != before


def test_a_room_is_closed_when_its_run_has_ended_and_its_tasks_have(
    notified: Executor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(notified.pool, "close_room", closed.append)
    for task_id, run_id in ((1, 7), (2, 8)):
        notified.pool.launch(replace(order("started pulled wait", task_id), run_id=run_id))
    ended = [[7, 8, 9]]
    monkeypatch.setattr(
        notified.notifications, "ended_runs", lambda: ended.pop() if ended else []
    )
    notified.loop.poll()
    assert closed == [9], "the others have a task that may still write a file"
    notified.pool.stop_task(1, "The run was stopped.")
    assert wait_until(lambda: notified.loop.poll() or 7 in closed, SECONDS)
    assert closed == [9, 7]
    # But not for ever.
    clock.now += 10
    notified.loop.poll()
    assert closed == [9, 7, 8]
