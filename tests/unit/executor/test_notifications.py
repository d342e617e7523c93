"""The thread that waits for notifications, at flwr's real Runtime API with and without them."""

import select
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.unit.executor.conftest import Server

from fedstate.executor.notifications import TaskNotifications
from fedstate.waiting import wait_until

SECONDS = 60.0
Listen = Callable[..., TaskNotifications]


@pytest.fixture
def listen(server: Server) -> Iterator[Listen]:
    """Wait for the server's notifications; `named` gives the tasks under way."""
    started: list[TaskNotifications] = []

    with server.source() as source:

        def begin(
            named: Callable[[], list[int]] = list, runs: Callable[[], list[int]] = list
        ) -> TaskNotifications:
            started.append(TaskNotifications(source, named, runs, retry_seconds=0.02))
            return started[-1]

        yield begin
        for notifications in started:
            notifications.close()
        server.signals.tasks.notify()  # ends the request that is under way
        for notifications in started:
            notifications._thread.join(SECONDS)
            assert not notifications._thread.is_alive()


def readable(notifications: TaskNotifications) -> bool:
    return bool(select.select([notifications], [], [], SECONDS)[0])


def test_a_notification_is_received_once(server: Server, listen: Listen) -> None:
    notifications = listen()
    # The first answer tells the count: there may be a task already.
    assert readable(notifications)
    assert notifications.received()
    assert notifications.active
    assert not notifications.received()
    notifications.rearm()
    server.signals.tasks.notify()
    assert readable(notifications)
    assert notifications.received()


def test_the_next_request_names_the_tasks_that_a_notification_has_brought(
    server: Server, listen: Listen
) -> None:
    under_way: list[int] = []
    named: list[list[int]] = []
    second = threading.Event()

    def name() -> list[int]:
        named.append(list(under_way))
        if len(named) == 2:
            second.set()
        return under_way

    notifications = listen(name)
    assert readable(notifications)
    assert not second.wait(0.1), "it waits until the tasks have been taken"
    under_way.append(7)
    notifications.rearm()
    assert second.wait(SECONDS)
    assert named == [[], [7]]


def test_what_has_ended_at_the_server_is_heard_of_once(server: Server, listen: Listen) -> None:
    over: set[int] = set()
    ends = server.signals.tell_ends(lambda ids: over & set(ids), lambda ids: over & set(ids))
    notifications = listen(lambda: [1, 2], lambda: [7, 8])
    assert readable(notifications)
    assert notifications.received()
    notifications.rearm()
    assert (notifications.ended_tasks(), notifications.ended_runs()) == ([], [])
    over |= {2, 7}
    ends.notify()
    assert readable(notifications)
    assert not notifications.received(), "it is no task to be taken"
    assert (notifications.ended_tasks(), notifications.ended_runs()) == ([2], [7])
    # What is known to have ended is not named again, for as long as it is here: the server would
    # answer at once, for ever.
    asked = server.asked.count("wait-for-tasks")
    ends.notify()
    assert wait_until(lambda: server.asked.count("wait-for-tasks") >= asked + 1, SECONDS)
    assert (notifications.ended_tasks(), notifications.ended_runs()) == ([], [])


def test_what_was_acquired_during_a_request_is_named_after_the_next_end(
    server: Server, listen: Listen
) -> None:
    """A task is also taken when a slot is free again, which no notification tells."""
    ends = server.signals.tell_ends(lambda ids: ids, lambda _: [])
    under_way: list[int] = []
    notifications = listen(lambda: list(under_way))
    assert readable(notifications)
    assert notifications.received()
    notifications.rearm()
    assert wait_until(lambda: server.asked.count("wait-for-tasks") == 2, SECONDS)
    under_way.append(7)
    ends.notify()
    assert readable(notifications)
    assert notifications.ended_tasks() == [7]


@pytest.mark.parametrize("server", [False], indirect=True)
def test_a_server_of_flwrs_own_is_asked_once(server: Server, listen: Listen) -> None:
    notifications = listen()
    notifications._thread.join(SECONDS)
    assert not notifications._thread.is_alive()
    assert not notifications.active
    assert not notifications.received()
    assert server.asked == ["wait-for-tasks"]


def test_a_server_that_fails_is_asked_again_until_it_answers(
    server: Server, listen: Listen
) -> None:
    server.failing["wait-for-tasks"] = 500
    notifications = listen()
    assert wait_until(lambda: len(server.asked) >= 3, SECONDS)
    assert not notifications.active
    server.failing.clear()
    assert readable(notifications)
    assert notifications.active
    # And it is not active for as long as it fails again.
    server.failing["wait-for-tasks"] = 500
    notifications.rearm()
    server.signals.tasks.notify()
    assert wait_until(lambda: not notifications.active, SECONDS)
