"""The end of a run, from flwr's own requests to the executors on both sides."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flwr.app import Message
from flwr.common.constant import SubStatus
from flwr.proto.control_pb2 import StopRunRequest
from flwr.proto.runtime_pb2 import PushTaskOutputRequest
from tests.contract.flower.in_process import Server, SuperLink, arrays
from tests.contract.flower.in_process_run import Run
from tests.contract.flower.in_process_supernode import SteppingNode, clientapp
from tests.waiting import wait_until

from fedstate.exchange.client import Waited


def stop(superlink: SuperLink, run: Run) -> None:
    """Do what `flwr stop` does."""
    assert superlink.control()._client.StopRun(StopRunRequest(run_id=run.id)).success


def crash(_: SuperLink, run: Run) -> None:
    """Report what the process of a ServerApp that fails reports."""
    report = PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="ServerApp failed.")
    run.client.PushTaskOutput(report)


def complete(_: SuperLink, run: Run) -> None:
    run.end()


ENDS = pytest.mark.parametrize("end", [stop, crash, complete])
End = Callable[[SuperLink, Run], None]


def heard(server: Server, **named: Any) -> Waited:
    """Return what an executor is told that names tasks and runs."""
    with server.task_source() as source:
        waited = source.wait(0, 5, named.get("task_ids", ()), run_ids=named.get("run_ids", ()))
    assert waited is not None
    return waited


@pytest.fixture
def serverapp(superlink: SuperLink, stepping_node: SteppingNode) -> Run:
    """A run whose ServerApp is running; the node is online."""
    return Run(superlink)


@pytest.fixture
def message(serverapp: Run, stepping_node: SteppingNode) -> Message:
    message = serverapp.message(stepping_node.node_id, arrays(1, 2))
    serverapp.push(message)
    assert stepping_node.receive()
    return message


@ENDS
def test_nodes_and_executors_of_a_superlink_are_told(
    superlink: SuperLink, serverapp: Run, stepping_node: SteppingNode, end: End
) -> None:
    named = {"task_ids": [serverapp.order.task_id], "run_ids": [serverapp.id]}
    before = heard(superlink, **named)
    assert (before.ended_tasks, before.ended_runs) == ((), ())
    assert stepping_node.link.wait_for_messages([serverapp.id]) == ()
    end(superlink, serverapp)
    after = heard(superlink, **named)
    assert after.ends > before.ends, "flwr's request has woken who waits"
    assert after.ended_runs == (serverapp.id,)
    # The process of a ServerApp that has reported its end is left to end in its own time.
    assert after.ended_tasks == ((serverapp.order.task_id,) if end is stop else ())
    assert stepping_node.link.wait_for_messages([serverapp.id]) == (serverapp.id,)


@ENDS
def test_a_clientapp_that_works_has_no_access_any_longer_and_its_executor_is_told(
    superlink: SuperLink, serverapp: Run, stepping_node: SteppingNode, message: Message, end: End
) -> None:
    node = stepping_node
    with clientapp(node) as task:
        (step,) = [node.steps._known(message.metadata.message_id)]
        assert step is not None
        named = {"task_ids": [step.task_id], "run_ids": [serverapp.id]}
        before = heard(node, **named)
        assert (before.ended_tasks, before.ended_runs) == ((), ())
        end(superlink, serverapp)
        ended = node.link.wait_for_messages(node.steps.runs.going())
        assert ended == (serverapp.id,)
        node.steps.end_run(serverapp.id)
        after = heard(node, **named)
        assert (after.ended_tasks, after.ended_runs) == ((step.task_id,), (serverapp.id,))
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            task.complete()
    node.idle()
    assert not node.store.steps("received")
    assert len(node.state.object_store) == 0


def test_a_clientapp_that_has_done_its_work_is_not_called_ended(
    serverapp: Run, stepping_node: SteppingNode, message: Message
) -> None:
    """Its process may have something left to do, such as threads that it waits for."""
    node = stepping_node
    with clientapp(node) as task:
        step = node.steps._known(message.metadata.message_id)
        assert step is not None
        task_id = step.task_id
        task.reply(arrays(3))
        task.complete()
    wait_until(lambda: not node.steps.under_way)
    waited = heard(node, task_ids=[task_id], run_ids=[serverapp.id])
    assert (waited.ended_tasks, waited.ended_runs) == ((), ())
