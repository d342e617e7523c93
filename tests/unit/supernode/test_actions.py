"""What one action for a step does, and the event by which it says so."""

from dataclasses import replace

import pytest
from tests.unit.superlink_in_process import Fault, answers, arrays, reply_to
from tests.unit.supernode.stepping import REPLY, Node
from tests.waiting import wait_until

from fedstate.flower.errors import ErrorCode, UnauthorizedError
from fedstate.large.context import SplitContext
from fedstate.supernode.actions import Actions
from fedstate.supernode.machine import Event
from fedstate.supernode.step import Step

CONFIRM = "confirm-message-received"
PULL = "pull-objects"


@pytest.fixture
def actions(stepping_node: Node) -> Actions:
    return Actions(stepping_node.state, stepping_node.link, stepping_node.steps.runs)


@pytest.fixture
def step(stepping_node: Node, run_id: int) -> Step:
    stepping_node.pull_new(run_id)
    return stepping_node.take_task(run_id)


def test_how_far_a_step_had_come_is_what_the_store_says(
    actions: Actions, stepping_node: Node, step: Step
) -> None:
    assert actions.look_up(step, None) == (Event.FRESH, None)
    stepping_node.store.forget(step.message_id)
    event, error = actions.look_up(step, None)
    assert event is Event.MISSING
    assert error.code == ErrorCode.MESSAGE_UNAVAILABLE


def test_a_passing_trouble_of_the_superlinks_is_no_missing_message(
    stepping_node: Node, run_id: int
) -> None:
    """Such as a database that is busy, or too many open files."""
    connection = stepping_node.connection
    connection.down(PULL, answers(500))
    message_id = stepping_node.pull_new(run_id)
    wait_until(lambda: connection.count(PULL) >= 3)
    connection.up()
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    assert stepping_node.status(message_id) == "answered"


def test_the_reply_of_a_committed_step_is_found(
    actions: Actions, stepping_node: Node, step: Step
) -> None:
    stepping_node.connection.down(REPLY, answers(500))
    stepping_node.train(step)
    stepping_node.steps.close()
    again = replace(step, reply=None)
    assert actions.look_up(again, None) == (Event.REPLY_STORED, None)
    assert again.reply is not None
    assert again.reply[0].message.metadata.reply_to_message_id == step.message_id


def test_a_state_of_no_known_run_series_is_not_committed(
    actions: Actions, stepping_node: Node, step: Step
) -> None:
    context = stepping_node.state.get_run_series_context(step.series_id)
    assert context is not None
    envelope, objects = reply_to(step.envelope, arrays(20))
    session = stepping_node.state.start_session(step.run_id)
    stepping_node.state.store_message_and_object_tree(envelope.message, envelope.tree, session)
    for object_id, content in objects.items():
        stepping_node.state.store_object(step.run_id, session, object_id, content)
    assert step.run is not None
    elsewhere = replace(step, run=replace(step.run, series_id=2**40))
    event, error = actions.commit(elsewhere, (envelope.message, SplitContext.split(context)))
    assert event is Event.COMMIT_REFUSED
    assert f"no Context of run series {2**40}" in error.reason
    assert stepping_node.status(step.message_id) == "received"


def test_what_has_no_reply_is_not_sent(actions: Actions, step: Step) -> None:
    with pytest.raises(LookupError, match=f"no reply to message {step.message_id}"):
        actions.send(step)


@pytest.mark.parametrize("fault", [answers(500), answers(400)])
def test_a_message_that_cannot_be_confirmed_is_kept_longer(
    actions: Actions, stepping_node: Node, step: Step, fault: Fault
) -> None:
    stepping_node.connection.down(CONFIRM, fault)
    assert actions.confirm(step) == (Event.CONFIRMED, None)
    assert stepping_node.superlink.keeps(step.message_id)
    stepping_node.connection.up()
    assert actions.confirm(step) == (Event.CONFIRMED, None)
    assert not stepping_node.superlink.keeps(step.message_id)


def test_a_key_that_is_not_accepted_is_said_by_a_confirmation_too(
    actions: Actions, stepping_node: Node, step: Step
) -> None:
    stepping_node.connection.plan(CONFIRM, answers(401))
    with pytest.raises(UnauthorizedError):
        actions.confirm(step)
