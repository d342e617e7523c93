"""The input and the output of a task are led to its step, and to no other."""

import pytest
from tests.unit.supernode.stepping import Node

from fedstate.flower.errors import ErrorCode
from fedstate.large.context import SplitContext
from fedstate.store.errors import StoreError
from fedstate.supernode.runtime_handlers import StepHandlers


@pytest.fixture
def handlers(stepping_node: Node) -> StepHandlers:
    return StepHandlers(stepping_node.steps)


def never() -> SplitContext:
    raise AssertionError("the output of a task of no step is not read")


def test_the_output_of_a_task_of_no_step_is_not_taken(handlers: StepHandlers) -> None:
    assert not handlers.on_output(2**40, None, "failed")
    assert not handlers.on_output(2**40, never, "")


def test_a_task_that_failed_fails_its_step_with_the_reason(
    handlers: StepHandlers, stepping_node: Node, run_id: int
) -> None:
    message_id = stepping_node.pull_new(run_id)
    step = stepping_node.take_task(run_id)
    assert step.task_id is not None
    assert handlers.on_output(step.task_id, None, "The ClientApp vanished.")
    reply = stepping_node.reply(run_id, message_id)
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "The ClientApp vanished." in (reply.error.reason or "")
    stepping_node.wait_for_end()


def test_a_store_that_cannot_be_read_ends_the_supernode(
    handlers: StepHandlers, stepping_node: Node
) -> None:
    broken = StoreError("The node store is damaged.")
    with pytest.raises(StoreError, match="is damaged"), handlers.handing_out(1):
        raise broken
    assert stepping_node.steps.failure is broken


def test_any_other_failure_is_that_of_the_step_alone(
    handlers: StepHandlers, stepping_node: Node
) -> None:
    with pytest.raises(LookupError), handlers.handing_out(1):
        raise LookupError("no such task")
    assert stepping_node.steps.failure is None
