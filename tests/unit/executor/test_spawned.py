"""A task's process that is a program of its own."""

import pytest
from tests.unit.executor.conftest import SCRIPTED, order
from tests.waiting import wait_until

from fedstate.executor.spawned import SpawnedChild
from fedstate.forking.ending import Ending


def told(script: str) -> SpawnedChild:
    """Start a process that does what a token says."""
    child = SpawnedChild(SCRIPTED)
    assert child.poll() is None
    child.channel.send({"task": order(script).to_json()})
    return child


@pytest.mark.parametrize(("script", "code"), [("started", 0), ("exit:3", 3), ("kill", -9)])
def test_how_it_ended_is_known(script: str, code: int) -> None:
    child = told(script)
    assert wait_until(child.poll) == Ending(code)
    child.channel.close()


def test_it_speaks_over_its_channel_and_is_ended_at_once() -> None:
    child = told("started deaf")
    (said,) = wait_until(lambda: list(child.channel.receive()))
    assert said["event"] == "started"
    assert child.poll() is None
    child.kill()
    assert wait_until(child.poll) == Ending(-9)
    child.channel.close()


def test_nothing_to_read_does_not_block() -> None:
    child = told("deaf")
    assert list(child.channel.receive()) == []
    child.kill()
    wait_until(child.poll)
    child.channel.close()
