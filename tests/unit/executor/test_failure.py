"""What a real Runtime API hears of a task whose process died."""

from dataclasses import replace

import pytest
from tests.unit.executor.conftest import Server

from fedstate.executor.failure import report_failure
from fedstate.executor.task import Task
from fedstate.flower.errors import ErrorCode
from fedstate.flower.task_client import task_client
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import Channel
from fedstate.local.process import free_port

WHY = "The process of the task ended with exit code 3."


@pytest.fixture
def order(server: Server) -> TaskOrder:
    return server.order()


@pytest.fixture
def task(order: TaskOrder) -> Task:
    return Task(order, Channel.pair()[0])


def pull(order: TaskOrder) -> bytes:
    """Take the task's message, as its process did before it died."""
    with task_client(order) as client:
        client.pull_input()
        assert client.pulled is not None
        return client.pulled


def test_a_message_that_the_process_had_not_taken_is_answered(server: Server, task: Task) -> None:
    report_failure(task, WHY)
    assert server.node.error(server.message_id) == (ErrorCode.CLIENT_APP_CRASHED, WHY)


def test_a_message_that_the_process_had_taken_is_answered(server: Server, task: Task) -> None:
    task.message = pull(task.order)
    report_failure(task, WHY)
    assert server.node.error(server.message_id) == (ErrorCode.CLIENT_APP_CRASHED, WHY)


def test_a_process_that_had_replied_is_not_answered_for(server: Server, task: Task) -> None:
    task.message = pull(task.order)
    task.replied = True
    before = server.asked.count("push-messages")
    report_failure(task, WHY)
    assert server.asked.count("push-messages") == before
    (ended,) = server.node.tasks("finished")
    assert (ended.status.sub_status, ended.status.details) == ("failed", WHY)


def test_a_task_of_another_kind_fails_without_a_reply(server: Server, order: TaskOrder) -> None:
    report_failure(Task(replace(order, kind=TaskKind.SERVER_APP), Channel.pair()[0]), WHY)
    assert "push-messages" not in server.asked
    assert [each.status.details for each in server.node.tasks("finished")] == [WHY]


def test_a_message_that_is_gone_is_said(
    server: Server, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    pull(task.order)
    report_failure(task, WHY)
    assert f"Task {task.order.task_id} failed: {WHY}" in caplog.text
    assert "has no message to answer" in caplog.text
    assert not server.node.tasks("finished")


def test_a_server_that_is_gone_is_said(
    order: TaskOrder, caplog: pytest.LogCaptureFixture
) -> None:
    gone = replace(order, runtime_api_address=f"127.0.0.1:{free_port()}")
    report_failure(Task(gone, Channel.pair()[0]), WHY)
    assert "could not be reported: [Errno 111] Connection refused" in caplog.text


def test_a_certificate_that_is_gone_is_said(
    order: TaskOrder, caplog: pytest.LogCaptureFixture
) -> None:
    unsure = replace(order, insecure=False, root_certificates_path="none/ca.crt")
    report_failure(Task(unsure, Channel.pair()[0]), WHY)
    assert "could not be reported: none/ca.crt cannot be used: No such file" in caplog.text


@pytest.mark.parametrize("kind", [TaskKind.CLIENT_APP, TaskKind.SERVER_APP])
def test_that_the_task_was_over_at_its_server_is_no_error(
    order: TaskOrder, kind: TaskKind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    report_failure(Task(replace(order, token="another", kind=kind), Channel.pair()[0]), WHY)
    assert f"Task {order.task_id} is over at its server. {WHY}" in caplog.text
    assert [each.levelname for each in caplog.records if each.name == "flwr.fedstate"] == ["INFO"]


def test_a_run_that_ends_meanwhile_is_said(
    server: Server, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    def end_the_run(route: str) -> None:
        if route == "push-object":
            server.node.state.delete_sessions_in_run(1)

    # As with a server that takes messages and objects one after the other.
    server.failing["send-messages"] = 404
    server.before = end_the_run
    report_failure(task, WHY)
    assert "could not be reported: Failed to push object" in caplog.text
