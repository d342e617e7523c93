"""A step's whole way through flwr's code: SuperLink, SuperNode, ClientApp, and back."""

from pathlib import Path

import pytest
from flwr.app import Error, Message, RecordDict
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Run
from tests.contract.flower.in_process_supernode import SteppingNode, clientapp
from tests.waiting import wait_until

from fedstate.flower.errors import ErrorCode
from fedstate.flower.stored_values import digest_of
from fedstate.flower.task_order import TaskKind
from fedstate.large.context import SplitContext
from fedstate.witness import EMPTY_STATE


@pytest.fixture
def serverapp(superlink: SuperLink, stepping_node: SteppingNode) -> Run:
    """A run whose ServerApp is running; the node is online."""
    return Run(superlink)


@pytest.fixture
def message(serverapp: Run, stepping_node: SteppingNode) -> Message:
    """A message that the ServerApp has sent and the SuperNode pulled."""
    message = serverapp.message(stepping_node.node_id, arrays(1, 2))
    serverapp.push(message)
    assert stepping_node.receive()
    return message


def reply_to(serverapp: Run, message: Message) -> Message:
    """Wait for the reply at the ServerApp."""
    (reply,) = wait_until(lambda: serverapp.pull(message.metadata.message_id))
    return reply


def train(node: SteppingNode, state: RecordDict, content: RecordDict) -> None:
    """Make a step as a ClientApp does: look at the message, change the state, reply."""
    with clientapp(node) as task:
        assert task.message.content == arrays(1, 2)
        task.context.state = state
        task.reply(content)
        task.complete()


def state_of(node: SteppingNode, run_id: int) -> RecordDict:
    run = node.state.get_run(run_id)
    state: RecordDict = node.state.get_run_series_context(run.series_id).state
    return state


def test_a_step_is_committed_and_its_reply_arrives(
    serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    train(stepping_node, arrays(10), arrays(3))
    assert state_of(stepping_node, serverapp.id) == arrays(10), "before its reply has left"
    assert reply_to(serverapp, message).content == arrays(3)
    stepping_node.idle()
    assert len(stepping_node.state.object_store) == 0
    assert not stepping_node.receive(), "flwr's SuperLink has nothing more for the node"


def test_a_step_that_failed_leaves_the_state_and_is_made_again(
    superlink: SuperLink, serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    with clientapp(stepping_node) as task:
        task.context.state = arrays(99)
        task.reply(Error(ErrorCode.CLIENT_APP_RAISED, "why"))
        task.fail("why")
    error = reply_to(serverapp, message).error
    assert (error.code, error.reason) == (ErrorCode.CLIENT_APP_RAISED, "why")
    assert state_of(stepping_node, serverapp.id) == RecordDict()
    stepping_node.idle()
    serverapp.push(message)
    assert stepping_node.receive()
    train(stepping_node, arrays(11), arrays(4))
    assert reply_to(serverapp, message).content == arrays(4)
    assert state_of(stepping_node, serverapp.id) == arrays(11)


def test_the_log_has_what_a_step_was_given_and_what_it_left(
    serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    """Of what flwr's handlers have handed out and taken, whatever the app says."""
    train(stepping_node, arrays(10, 2000), arrays(3))
    reply_to(serverapp, message)
    stepping_node.idle()
    serverapp.push(again := serverapp.message(stepping_node.node_id, arrays(2, 1)))
    assert stepping_node.receive()
    with clientapp(stepping_node) as task:
        task.context.state = arrays(99)
        task.fail("why")
    assert reply_to(serverapp, again).has_error()
    stepping_node.idle()
    first, failed = stepping_node.store.rows_after(0, [serverapp.id], 10)
    kept = stepping_node.state.get_run_series_context(first.record.series_id)
    assert kept is not None
    assert first.record.handed_out == EMPTY_STATE
    assert first.record.stored == digest_of(SplitContext.split(kept))
    assert first.record.stored != EMPTY_STATE
    assert first.record.app_seconds > 0
    assert first.record.node_id == stepping_node.node_id
    assert first.record.message_id == message.metadata.message_id
    assert failed.record.handed_out == failed.record.stored == first.record.stored
    assert (failed.record.outcome, failed.record.reason) == ("failed", "why")
    assert [each.record.action for each in (first, failed)] == ["train", "train"]


def test_a_committed_step_that_is_asked_for_again_is_answered_and_not_made(
    superlink: SuperLink, serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    """The node was lost after it had pulled; the ServerApp was told, and sends again."""
    superlink.lapse(stepping_node.node_id)
    assert reply_to(serverapp, message).error.code == ErrorCode.NODE_UNAVAILABLE
    train(stepping_node, arrays(10), arrays(3))
    stepping_node.idle()
    assert stepping_node.membership._heartbeat()
    serverapp.push(message)
    assert stepping_node.receive()
    assert reply_to(serverapp, message).content == arrays(3)
    stepping_node.idle()
    assert stepping_node.acquire(TaskKind.CLIENT_APP) is None
    assert state_of(stepping_node, serverapp.id) == arrays(10)


def test_a_task_whose_process_has_gone_is_answered_with_an_error(
    serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    with clientapp(stepping_node) as task:
        task.context.state = arrays(99)
        (running,) = stepping_node.state.get_tasks(statuses=["running"])
        stepping_node.state.expire_tasks([running.task_id])
    assert reply_to(serverapp, message).error.code == ErrorCode.CLIENT_APP_CRASHED
    assert state_of(stepping_node, serverapp.id) == RecordDict()
    stepping_node.idle()


def test_a_step_of_a_run_that_has_ended_is_dropped(
    serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    wait_until(lambda: stepping_node.state.get_tasks(statuses=["pending"]))
    serverapp.end()
    train(stepping_node, arrays(10), arrays(3))
    stepping_node.idle()
    assert len(stepping_node.state.object_store) == 0


def test_the_next_supernode_goes_on_with_a_message_that_was_pulled(
    superlink: SuperLink, tmp_path: Path
) -> None:
    """The SuperLink does not hand it out again: it is in the node store, or lost."""
    with SteppingNode(tmp_path, superlink) as node:
        run = Run(superlink)
        message = run.message(node.node_id, arrays(1, 2))
        run.push(message)
        assert node.receive()
        wait_until(lambda: node.state.get_tasks(statuses=["pending"]))
        assert [step.message_id for step in node.store.steps("received")] == [
            message.metadata.message_id
        ]
        run.close()
