"""An executor's task: how it is acquired, described and started, and flwr's parts of its work."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, RecordDict
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import (
    TASK_TYPE_TO_APPIO_API_ADDRESS_ARG,
    TASK_TYPE_TO_COMMAND,
    TaskType,
)
from flwr.supercore.superexec.executor.types import ExecutionSpec, LaunchResult
from flwr.supercore.superexec.plugin import AutoExecPlugin
from tests.contract.flower.in_process_supernode import (
    NODE_ID,
    SuperNode,
    message_to,
)
from tests.stack.executor.conftest import probe_fab

from fedstate.executor import clientapp as program
from fedstate.executor.pool import Limits, WarmExecutor
from fedstate.executor.worker import Orders
from fedstate.flower.errors import ErrorCode
from fedstate.flower.task_client import TaskClient, send_error, task_client
from fedstate.forking.channel import Channel


class Launching(WarmExecutor):
    """Notes what would be launched."""

    def __init__(self) -> None:
        super().__init__(None, Limits())
        self.launched: list[ExecutionSpec] = []

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        self.launched.append(spec)
        return LaunchResult.accepted()


def test_the_plugin_launches_a_task_through_our_executor() -> None:
    executor = Launching()
    plugin = AutoExecPlugin("host:1", False, "/ca.crt", True, executor=executor)
    for task_type in TaskType:
        plugin.launch_task("token", Task(task_id=5, run_id=1, type=task_type, fab_hash="fab"))
    executor.close()
    assert [spec.task_type for spec in executor.launched] == list(TaskType)
    for spec in executor.launched:
        assert (spec.task_id, spec.token, spec.fab_hash) == (5, "token", "fab")
        assert (spec.runtime_api_address, spec.insecure) == ("host:1", False)
        assert spec.root_certificates_path == "/ca.crt"
        assert spec.runtime_dependency_install


def test_a_task_arrives_in_its_process_as_it_was_described() -> None:
    """The description goes there as JSON."""
    executor = Launching()
    plugin = AutoExecPlugin("host:1", True, None, executor=executor)
    plugin.launch_task("token", Task(task_id=2**63, run_id=1, type=TaskType.CLIENT_APP))
    executor.close()
    (spec,) = executor.launched
    ours, theirs = Channel.pair()
    ours.send({"task": asdict(spec)})
    assert Orders(Channel(theirs)).task() == spec
    ours.close()
    theirs.close()


# What a simulation needs takes seconds to import, and our executor treats it as any other.
@pytest.mark.parametrize("task_type", [t for t in TaskType if t != TaskType.SIMULATION])
def test_flwrs_program_for_a_task_takes_the_arguments_that_we_give(
    task_type: TaskType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = TASK_TYPE_TO_COMMAND[task_type]
    (entry,) = entry_points(group="console_scripts", name=name)
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit):
        entry.load()()
    described = capsys.readouterr().out
    for option in (
        TASK_TYPE_TO_APPIO_API_ADDRESS_ARG[task_type],
        *("--token", "--parent-pid", "--insecure", "--root-certificates"),
        "--allow-runtime-dependency-installation",
    ):
        assert option in described


@pytest.fixture
def node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SuperNode, ExecutionSpec]]:
    """A SuperNode with a task of the probe app, which is acquired; clients reach the node."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    with SuperNode(tmp_path / "state") as supernode:
        supernode.add_run(1, probe_fab())
        supernode.give(1, message_to(NODE_ID, 1, asked()))
        spec = supernode.acquire(TaskType.CLIENT_APP)
        assert spec is not None
        make = task_client

        def reaching(*arguments: Any) -> TaskClient:
            return supernode.reach(make(*arguments))

        monkeypatch.setattr(program, "task_client", reaching)
        yield supernode, spec
    for each, handler in handlers.items():
        signal.signal(each, handler)


def asked() -> RecordDict:
    return RecordDict({"asked": ConfigRecord({"do": "tell"})})


def test_a_clientapp_is_loaded_called_and_its_context_pushed(
    node: tuple[SuperNode, ExecutionSpec],
) -> None:
    supernode, spec = node
    events: list[Any] = []

    def tell(event: Any) -> bool:
        events.append(event)
        return True

    assert program.run_clientapp(spec, tell, str) == 0
    assert [event["event"] for event in events] == ["pulled", "replied", "finished"]
    state = supernode.state.get_run_series_context(1).state
    assert state["steps"]["count"] == 1
    (task,) = supernode.state.get_tasks()
    assert (task.status.status, task.status.sub_status) == ("finished", "completed")


def test_an_app_that_cannot_be_loaded_is_answered_with_flwrs_code(
    node: tuple[SuperNode, ExecutionSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    supernode, _ = node
    broken = probe_fab(**{"probe/client_app": "app = 'not a ClientApp'\n"})
    supernode.add_run(2, broken)
    message = message_to(NODE_ID, 2, asked())
    supernode.give(2, message)
    second = supernode.acquire(TaskType.CLIENT_APP)
    assert second is not None
    monkeypatch.delitem(sys.modules, "probe.client_app", raising=False)
    monkeypatch.delitem(sys.modules, "probe", raising=False)
    assert program.run_clientapp(second, lambda _: True, str) == 1
    reply = supernode.state.reply_to(message.metadata.message_id)
    assert reply is not None
    assert reply.error.code == ErrorCode.CLIENT_APP_NOT_LOADED


def test_an_executor_answers_for_a_process_that_died(
    node: tuple[SuperNode, ExecutionSpec],
) -> None:
    """With the task's token: its message is pulled, if the process had not, and answered."""
    supernode, spec = node
    with supernode.task_client(spec) as client:
        assert send_error(client, Error(ErrorCode.CLIENT_APP_CRASHED, "why"))
        pulled = client.pulled
    assert pulled is not None
    reply = supernode.state.reply_to(pulled.metadata.message_id)
    assert (reply.error.code, reply.error.reason) == (ErrorCode.CLIENT_APP_CRASHED, "why")
