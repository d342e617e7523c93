"""The reply of a step on its way: connections that break, refusals, and the end of its run."""

import httpx
import pytest
from flwr.app import Message
from tests.unit.superlink_in_process import Fault, Handle, SuperLink, answers, breaks
from tests.unit.supernode.stepping import REPLY, Node, errors_of_ours, no_complaints
from tests.waiting import wait_until

from fedstate.flower.errors import UnauthorizedError


@pytest.fixture
def node(stepping_node: Node) -> Node:
    return stepping_node


def test_a_message_that_comes_again_while_its_reply_is_on_its_way_is_answered_twice(
    node: Node, run_id: int
) -> None:
    message_id = node.pull_new(run_id)
    first: list[Message | None] = []

    def ask_again(handle: Handle) -> httpx.Response:
        """The ServerApp takes the reply, loses it and asks again, all before the node knows."""
        response = handle()
        first.append(node.superlink.take_reply(run_id, message_id))
        node.superlink.send_again(message_id)
        node.pull()
        return response

    node.connection.plan(REPLY, ask_again)
    step = node.take_task(run_id)
    node.train(step)
    node.wait_for_end()
    (taken,) = first
    assert taken is not None
    assert node.reply(run_id, message_id).metadata.message_id == taken.metadata.message_id
    assert node.count(step.series_id) == 1


@pytest.mark.parametrize("killed", [False, True])
def test_a_message_that_was_answered_is_answered_again_also_by_the_next_supernode(
    node: Node, run_id: int, killed: bool
) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.train(step)
    node.wait_for_end()
    taken = node.reply(run_id, message_id)
    node.superlink.send_again(message_id)
    if killed:
        # As if it were killed when the message is durable, and before its turn.
        node.steps._turns.close()
        node.pull()
        node.kill()
        node.start()
        node.steps.resume()
    else:
        node.pull()
    assert node.reply(run_id, message_id).metadata.message_id == taken.metadata.message_id
    node.wait_for_end()
    assert node.status(message_id) == "answered"
    assert node.count(step.series_id) == 1


def test_a_reply_that_is_refused_was_not_sent(
    node: Node, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    message_id = node.pull_new(run_id)
    node.connection.plan(REPLY, answers(400))
    node.train(node.take_task(run_id))
    node.wait_for_end()
    errors = errors_of_ours(log)
    assert len(errors) == 1
    assert f"The reply to {message_id} was refused." in errors[0].getMessage()
    assert "Sent: " not in log.text
    assert node.status(message_id) == "answered"


@pytest.mark.parametrize(
    "faults",
    [
        (answers(500), answers(500)),
        (breaks(httpx.ReadError, after=True),),
        (answers(200, b"\xff<html>"),),
    ],
)
def test_a_reply_that_did_not_arrive_is_sent_until_it_does(
    node: Node, run_id: int, faults: tuple[Fault, ...], log: pytest.LogCaptureFixture
) -> None:
    message_id = node.pull_new(run_id)
    node.connection.plan(REPLY, *faults)
    step = node.take_task(run_id)
    node.train(step)
    assert not node.reply(run_id, message_id).has_error()
    node.wait_for_end()
    assert node.count(step.series_id) == 1
    # The SuperLink may complain of a reply that comes once more when its message is gone.
    assert not errors_of_ours(log)


@pytest.mark.parametrize("when", ["pulled", "trained", "sent"])
def test_the_end_of_a_run_is_no_error(
    node: Node, superlink: SuperLink, run_id: int, when: str, log: pytest.LogCaptureFixture
) -> None:
    def end(handle: Handle) -> httpx.Response:
        superlink.end_run(run_id)
        return handle()

    if when == "pulled":
        node.connection.plan("pull-objects", end)
    message_id = node.pull_new(run_id)
    if when != "pulled":
        step = node.take_task(run_id)
        node.connection.plan(REPLY, end)
        if when == "trained":
            superlink.end_run(run_id)
            node.connection.up()
        node.train(step)
    node.wait_for_end()
    # What was committed stays known: if the SuperLink is mistaken, it must not be made again.
    assert node.status(message_id) == (None if when == "pulled" else "answered")
    assert f"Run {run_id} has ended; its step is dropped." in log.text
    assert "Sent: " not in log.text
    assert no_complaints(log)


def test_a_key_that_is_not_accepted_any_longer_ends_the_supernode(
    node: Node, run_id: int
) -> None:
    message_id = node.pull_new(run_id)
    node.connection.plan(REPLY, answers(401))
    node.train(node.take_task(run_id))
    wait_until(lambda: node.steps.failure)
    assert isinstance(node.steps.failure, UnauthorizedError)
    assert node.changes.acquire(timeout=30)
    assert node.status(message_id) == "committed"


def test_after_the_end_nothing_starts(node: Node, run_id: int) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.steps.close()
    node.train(step)
    assert node.status(message_id) == "committed"
    assert node.steps.under_way
    assert node.connection.count(REPLY) == 0
