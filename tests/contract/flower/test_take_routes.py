"""Messages are handed out with their objects, and again when they have to be, by both states."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run
from tests.waiting import wait_until

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import TakeRequest, TakeResponse
from fedstate.superlink.take_routes import Pending


def take(node: Node, **given: Any) -> Any:
    request = TakeRequest(node=node.proto, **given)
    return ExtraRoutes(node.client).call(paths.FLEET_TAKE, request, TakeResponse)


def test_a_message_is_handed_out_once_with_all_of_its_objects(both: tuple[Run, Node]) -> None:
    run, node = both
    assert not take(node).HasField("pulled")
    message_id = run.push(run.message(node.id, arrays(1, 2)))
    taken = take(node)
    (message,) = taken.pulled.messages_list
    assert message.metadata.message_id == message_id
    objects = dict(zip(taken.object_ids, taken.contents, strict=True))
    for object_id, content in objects.items():
        assert node.pull_object(run.id, object_id).object_content == content
    assert message_id in objects
    assert len(objects) > 4
    assert not take(node).HasField("pulled")
    received = node.take(taken.pulled)
    node.answer(Reply(received, arrays(3)))
    assert run.reply(message_id).content == arrays(3)


def test_what_did_not_arrive_is_handed_out_again(
    any_state: SuperLink, both: tuple[Run, Node]
) -> None:
    run, node = both
    other = Node(any_state)
    ids = [run.push(run.message(node.id, arrays(each))) for each in range(3)]
    elsewhere = run.push(run.message(other.id, arrays(9)))
    received = [node.take(take(node).pulled) for _ in ids]
    take(other)
    node.answer(Reply(received[0], arrays(0)))
    first, second, third = (each.metadata.message_id for each in received)
    assert {first, second, third} == set(ids)
    assert not take(node, again=True, have=[second, third]).HasField("pulled")
    assert not take(node).HasField("pulled")
    again = take(node, again=True, have=[second])
    assert [each.metadata.message_id for each in again.pulled.messages_list] == [third]
    assert again.object_ids
    assert not take(node, again=True, have=[second, third]).HasField("pulled")
    assert not take(other).HasField("pulled"), f"{elsewhere} was handed to the other node"
    # One that was answered is not handed out, whatever the node says.
    left = {take(node, again=True).pulled.messages_list[0].metadata.message_id}
    left.add(take(node).pulled.messages_list[0].metadata.message_id)
    assert left == {second, third}


def test_a_reply_that_was_on_its_way_is_not_lost_with_its_message(both: tuple[Run, Node]) -> None:
    """The node says that it sends the reply, of which nobody knows whether it arrives."""
    run, node = both
    first, second = (run.push(run.message(node.id, arrays(each))) for each in range(2))
    received = {}
    for _ in range(2):
        message = node.take(take(node).pulled)
        received[message.metadata.message_id] = message
    # Both count as not delivered from here on, and one of them is handed out at once.
    again = take(node, again=True).pulled.messages_list[0].metadata.message_id
    (other,) = {first, second} - {again}
    node.answer(Reply(received[other], arrays(3)))
    node.confirm(received[other])
    assert not take(node).HasField("pulled")
    assert run.reply(other).content == arrays(3)


def test_an_earlier_wait_is_given_nothing(any_state: SuperLink, both: tuple[Run, Node]) -> None:
    """The server does not notice that its connection has broken."""
    run, node = both
    answers: dict[str, Any] = {}

    def wait(name: str) -> threading.Thread:
        def ask() -> None:
            answers[name] = take(node, seconds=20)

        thread = threading.Thread(target=ask)
        thread.start()
        return thread

    assert not take(node).HasField("pulled")
    earlier = wait("earlier")
    wait_until(lambda: len(any_state.signals.messages._waiting) == 1)
    later = wait("later")
    wait_until(lambda: len(any_state.signals.messages._waiting) == 2 or answers)
    message_id = run.push(run.message(node.id, arrays(1)))
    earlier.join()
    later.join()
    (message,) = answers["later"].pulled.messages_list
    assert message.metadata.message_id == message_id
    assert not answers["earlier"].HasField("pulled")


def test_a_heartbeat_of_an_interval_that_flwr_does_not_take_is_refused(
    both: tuple[Run, Node],
) -> None:
    _, node = both
    assert take(node, heartbeat_interval=30.0).known
    with pytest.raises(httpx.HTTPStatusError):
        take(node, heartbeat_interval=1e9)


def test_many_ask_once() -> None:
    asyncio.run(_many_ask_once())


async def _many_ask_once() -> None:
    asked: list[int] = []
    now = [0.0]
    pending = Pending(lambda: now[0])

    def ask() -> dict[int, int]:
        asked.append(1)
        return {7: len(asked)}

    assert await pending.counts(5, ask) == {7: 1}
    assert await pending.counts(5, ask) == {7: 1}
    assert await pending.counts(6, ask) == {7: 2}
    assert await pending.counts(6, ask) == {7: 2}
    now[0] += 10
    assert await pending.counts(6, ask) == {7: 3}
    pending.forget()
    assert await pending.counts(6, ask) == {7: 4}

    def forgotten_meanwhile() -> dict[int, int]:
        pending.forget()
        return {}

    assert await pending.counts(7, forgotten_meanwhile) == {}
    assert await pending.counts(7, ask) == {7: 5}
