"""What the process of a task is told, and how it ends when it is told nothing."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest
from tests.unit.executor.conftest import order

from fedstate.executor import worker
from fedstate.executor.spawned import SpawnedChild
from fedstate.executor.worker import Instructions, seed_again
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.finalization import FOLLOWER
from fedstate.waiting import wait_until

SECONDS = 60.0


class StoppedError(Exception):
    pass


@pytest.fixture
def stoppable() -> Iterator[None]:
    """Let SIGTERM raise in this thread, as it does in a task's process."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise StoppedError

    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


def instructions() -> tuple[Channel, Instructions]:
    executor, process = Channel.pair()
    return executor, Instructions(Channel(process))


def follow(
    instructed: Instructions, then: Callable[[], object], orphaned: Callable[[], object] = list
) -> None:
    """Wait for what comes of it; the signal may come as soon as `then` has been done."""
    instructed.follow(orphaned)
    then()
    threading.Event().wait(SECONDS)


def test_the_first_instruction_is_the_task() -> None:
    executor, instructed = instructions()
    given = order("some script", 7)
    executor.send({"task": given.to_json()})
    executor.send({"stop": "enough"})
    assert instructed.task() == given
    assert instructed.stop_reason() == "The task was stopped by a signal."


def test_an_executor_that_is_gone_gives_no_task() -> None:
    executor, instructed = instructions()
    executor.close()
    assert instructed.task() is None


def test_the_instruction_to_stop_interrupts_the_main_thread(stoppable: None) -> None:
    executor, instructed = instructions()
    with pytest.raises(StoppedError):
        follow(instructed, lambda: executor.send({"stop": "enough"}))
    assert instructed.stop_reason() == "enough"


def test_the_thread_that_waits_for_instructions_delays_no_end(stoppable: None) -> None:
    executor, instructed = instructions()
    names: list[str] = []

    def look() -> None:
        names.extend(thread.name for thread in threading.enumerate())
        executor.close()

    with pytest.raises(StoppedError):
        follow(instructed, look)
    # A process with threads of the app's has all of its modules destroyed at its end.
    assert FOLLOWER in names


def test_an_executor_that_ends_stops_its_task(stoppable: None) -> None:
    executor, instructed = instructions()
    with pytest.raises(StoppedError):
        follow(instructed, executor.close)
    assert instructed.stop_reason() == "The executor of the task has ended."


def test_a_task_that_is_over_is_interrupted_once(stoppable: None) -> None:
    executor, instructed = instructions()
    gone = threading.Event()
    with pytest.raises(StoppedError):
        follow(instructed, lambda: executor.send({"stop": "enough"}), gone.set)
    assert not instructed.over()
    executor.send({"stop": "The run has ended.", "over": True})
    executor.close()
    assert gone.wait(SECONDS), "and no second signal has come"
    assert instructed.over()
    assert instructed.stop_reason() == "The run has ended."


def test_a_process_without_a_task_says_that_it_started_and_ends() -> None:
    child = SpawnedChild(worker.__name__)
    child.channel.socket.setblocking(True)
    (started,) = child.channel.receive()
    assert started == {"event": "started", "pid": child._process.pid}
    child.channel.close()
    assert wait_until(child.poll, SECONDS) == Ending(2)


def test_every_fork_seeds_numpy_anew() -> None:
    state = np.random.get_state()
    try:
        draws = set()
        for _ in range(3):
            np.random.seed(1)
            seed_again()
            draws.add(np.random.random())
        assert len(draws) == 3
    finally:
        np.random.set_state(state)
