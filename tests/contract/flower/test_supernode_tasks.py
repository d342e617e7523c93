"""The life of a ClientApp's task in our NodeState, as flwr's Runtime API moves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.common.serde import context_from_proto
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from tests.contract.flower.in_process import arrays
from tests.contract.flower.in_process_supernode import (
    NODE_ID,
    SuperNode,
    message_to,
)
from tests.waiting import wait_until

from fedstate.exchange.presence import Presence
from fedstate.flower.task_client import TaskClient, output_of
from fedstate.flower.task_order import TaskKind
from fedstate.large.context import SplitContext


@dataclass
class Started:
    """A task that is running, as its process sees it; its message is not pulled."""

    task_id: int
    client: TaskClient
    context: Context


@contextmanager
def started(supernode: SuperNode) -> Iterator[Started]:
    """Acquire the next task and pull its input."""
    order = supernode.acquire(TaskKind.CLIENT_APP)
    assert order is not None
    with supernode.task_client(order) as client:
        given = client.PullTaskInput(PullTaskInputRequest())
        context = SplitContext(context_from_proto(given.context), client._taken).join()
        yield Started(order.task_id, client, context)


@pytest.fixture
def message() -> Message:
    return message_to(NODE_ID, 1, arrays(1))


def status(supernode: SuperNode, task_id: int) -> str:
    (task,) = supernode.state.get_tasks(task_ids=[task_id])
    return str(task.status.status)


def test_a_task_goes_to_one_executor_and_starts_when_its_input_is_pulled(
    supernode: SuperNode, message: Message
) -> None:
    task_id = supernode.give(1, message)
    assert status(supernode, task_id) == "pending"
    order = supernode.acquire(TaskKind.CLIENT_APP)
    assert order is not None
    assert order.task_id == task_id
    assert status(supernode, task_id) == "starting"
    assert supernode.acquire(TaskKind.CLIENT_APP) is None
    with supernode.task_client(order) as client:
        given = client.PullTaskInput(PullTaskInputRequest())
    assert (given.run.run_id, given.fab.content, given.task_id) == (1, b"content", task_id)
    assert status(supernode, task_id) == "running"


def test_an_executor_of_flwrs_is_given_the_hash_of_the_fab(
    supernode: SuperNode, message: Message
) -> None:
    """Ours has no need of it; `flower-superexec` names the app by it."""
    task_id = supernode.give(1, message)
    request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
    with supernode.runtime_client() as client:
        given = client.AcquireTask(request)
    assert (given.task.task_id, given.task.run_id) == (task_id, 1)
    assert given.task.fab_hash == supernode.state.get_run(1).fab_hash
    assert given.token


def test_the_input_has_the_committed_context_with_its_large_arrays(
    supernode: SuperNode, message: Message
) -> None:
    state = RecordDict(
        {"large": ArrayRecord([np.arange(200_000.0)]), "small": arrays(1)["arrays"]}
    )
    context = supernode.state.get_run_series_context(1)
    context.state = state
    supernode.state.set_run_series_context(1, context)
    supernode.give(1, message)
    with started(supernode) as task:
        assert task.context.state == state
        assert task.context.run_id == 1


def test_the_output_of_flwrs_own_handler_commits_its_context(
    supernode: SuperNode, message: Message
) -> None:
    """What an executor pushes is what flwr's handler reads; `test_steps.py` has ours."""
    task_id = supernode.give(1, message)
    with started(supernode) as task:
        task.context.state = arrays(4)
        task.client.push_output(output_of(task.context))
    assert status(supernode, task_id) == "finished"
    assert supernode.state.get_run_series_context(1).state == arrays(4)


def test_a_task_that_failed_is_finished_and_stores_no_context(
    supernode: SuperNode, message: Message
) -> None:
    task_id = supernode.give(1, message)
    with started(supernode) as task:
        task.client.push_failure("why")
    (ended,) = supernode.state.get_tasks(task_ids=[task_id])
    assert (ended.status.status, ended.status.sub_status) == ("finished", "failed")
    assert ended.status.details == "why"
    assert supernode.state.get_run_series_context(1).state == RecordDict()


def test_the_token_of_a_finished_task_is_refused(supernode: SuperNode, message: Message) -> None:
    supernode.give(1, message)
    with started(supernode) as task:
        task.client.push_failure("why")
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            task.client.push_failure("again")


def test_a_task_that_is_expired_is_refused_and_no_message_is_answered(
    supernode: SuperNode, message: Message
) -> None:
    """flwr answers every message of the task's run; here `Steps` is told of the task."""
    other = message_to(NODE_ID, 1, arrays(2))
    expired: list[int] = []
    supernode.state.on_tasks_expired = expired.extend
    task_id, kept = supernode.give(1, message), supernode.give(1, other)
    with started(supernode) as task, started(supernode) as second:
        supernode.state.expire_tasks([task_id])
        assert expired == [task_id]
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            task.client.push_output(output_of(task.context))
        for each in (message, other):
            assert supernode.state.reply_to(each.metadata.message_id) is None
        assert second.client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success
        assert status(supernode, kept) == "running"


def test_a_task_that_was_acquired_and_lost_is_had_again(
    supernode: SuperNode, message: Message
) -> None:
    task_id = supernode.give(1, message)
    first = supernode.acquire(TaskKind.CLIENT_APP)
    supernode.state.expire_tasks([task_id])
    again = supernode.acquire(TaskKind.CLIENT_APP)
    assert first is not None
    assert again is not None
    assert again.task_id == task_id
    assert again.token != first.token


def test_a_task_whose_heartbeats_end_expires(
    supernode: SuperNode, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody need ask for it: the next executor that looks for a task brings it about."""
    expired: list[int] = []
    supernode.state.on_tasks_expired = expired.extend
    task_id = supernode.give(1, message)
    with started(supernode) as task:
        assert task.client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success
        supernode.acquire(TaskKind.CLIENT_APP)
        assert expired == []
        supernode.state.task_token_store[task_id].active_until -= timedelta(hours=1)
        supernode.acquire(TaskKind.CLIENT_APP)
        assert expired == [task_id]


def test_an_executor_that_waits_names_its_tasks(supernode: SuperNode, message: Message) -> None:
    """Its wait goes through flwr's router to `Presence`, which then misses the executor."""
    lost: list[int] = []
    supernode.signals.presence = Presence(lost.extend, grace=0)
    task_id = supernode.give(1, message)
    order = supernode.acquire(TaskKind.CLIENT_APP)
    assert order is not None
    with supernode.task_source() as source:
        waited = source.wait(0, 5, [task_id])
    assert waited is not None
    assert waited.count == supernode.signals.tasks.count
    wait_until(lambda: lost == [task_id])
