"""An executor's task: how it is acquired, described and started, and flwr's parts of its work."""

import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import pytest
from flwr.app import ConfigRecord, Error, RecordDict
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import TaskType
from flwr.supercore.superexec.executor.types import ExecutionSpec, Executor, LaunchResult
from flwr.supercore.superexec.plugin import AutoExecPlugin
from tests.contract.flower.in_process_supernode import (
    NODE_ID,
    SuperNode,
    message_to,
)
from tests.stack.executor.conftest import probe_fab

from fedstate.certificates.authority import ensure_authority
from fedstate.executor import bare
from fedstate.executor import clientapp as program
from fedstate.executor.bare import Handover
from fedstate.executor.worker import Instructions
from fedstate.flower.errors import ErrorCode
from fedstate.flower.task_client import TaskClient, task_client
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.task_program import command_line
from fedstate.flower.tasks import RuntimeApi
from fedstate.forking.channel import Channel

ADDRESS = "supernode:1"


class Noting:
    """An executor as far as flwr's plugin calls it, which notes what it is to launch."""

    def __init__(self) -> None:
        self.launched: list[ExecutionSpec] = []

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        self.launched.append(spec)
        return LaunchResult.accepted()


@pytest.fixture(params=["insecure", "TLS"])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> RuntimeApi:
    """Where an executor takes its tasks from, with every setting that a task inherits."""
    if request.param == "insecure":
        return RuntimeApi(ADDRESS, insecure=True)
    ensure_authority(tmp_path)
    return RuntimeApi(
        ADDRESS, root_certificates=str(tmp_path / "ca.crt"), dependency_install=True
    )


def ordered(supernode: SuperNode, task_type: TaskType, api: RuntimeApi) -> TaskOrder:
    """Create a task, and acquire it as our executor does."""
    task_id = supernode.state.create_task(task_type, 1, fab_hash="fab")
    with supernode.task_source(api) as source:
        order = source.acquire(list(TaskKind))
    assert order is not None
    assert order.task_id == task_id
    return order


def test_our_executor_knows_each_of_flwrs_kinds_of_task() -> None:
    assert {kind.value for kind in TaskKind} == {kind.value for kind in TaskType}


@pytest.mark.parametrize("task_type", list(TaskType))
def test_a_tasks_order_says_what_flwrs_executor_is_told(
    supernode: SuperNode, api: RuntimeApi, task_type: TaskType
) -> None:
    """flwr's plugin describes the task to an executor; ours makes the order itself."""
    order = ordered(supernode, task_type, api)
    noting = Noting()
    plugin = AutoExecPlugin(
        api.address,
        api.insecure,
        api.root_certificates,
        api.dependency_install,
        executor=cast("Executor", noting),
    )
    plugin.launch_task(order.token, Task(task_id=order.task_id, run_id=1, type=task_type))
    (spec,) = noting.launched
    assert order == TaskOrder(
        kind=TaskKind(spec.task_type),
        task_id=spec.task_id,
        token=spec.token,
        runtime_api_address=spec.runtime_api_address,
        insecure=spec.insecure,
        root_certificates_path=spec.root_certificates_path,
        runtime_dependency_install=spec.runtime_dependency_install,
        parent_pid=spec.parent_pid,
        suppress_output=spec.suppress_output,
        # Which flwr's executor does not pass on; ours makes a room for each run.
        run_id=order.run_id,
        fab_hash=order.fab_hash,
    )
    assert (order.run_id, order.fab_hash) == (1, "fab")


def test_a_task_arrives_in_its_process_as_it_was_acquired(
    supernode: SuperNode, api: RuntimeApi
) -> None:
    """The order goes there as JSON."""
    order = ordered(supernode, TaskType.CLIENT_APP, api)
    ours, theirs = Channel.pair()
    ours.send({"task": order.to_json()})
    assert Instructions(Channel(theirs)).task() == order
    ours.close()
    theirs.close()


# What a simulation needs takes seconds to import, and our executor treats it as any other.
@pytest.mark.parametrize("kind", [kind for kind in TaskKind if kind != TaskKind.SIMULATION])
def test_flwrs_program_for_a_task_takes_the_arguments_that_we_give(
    kind: TaskKind, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    insecure = TaskOrder(kind, 1, "token", ADDRESS, insecure=True, parent_pid=1)
    secure = TaskOrder(kind, 1, "token", ADDRESS, False, "ca.crt", True, 1)
    name, *given = [*command_line(insecure), *command_line(secure)]
    (entry,) = entry_points(group="console_scripts", name=name)
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit):
        entry.load()()
    described = capsys.readouterr().out
    options = {each for each in given if each.startswith("--")}
    assert len(options) == 6
    for option in options:
        assert option in described


@pytest.fixture
def node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SuperNode, TaskOrder]]:
    """A SuperNode with a task of the probe app, which is acquired; clients reach the node."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    with SuperNode(tmp_path / "state") as supernode:
        supernode.add_run(1, probe_fab())
        supernode.give(1, message_to(NODE_ID, 1, asked()))
        order = supernode.acquire(TaskKind.CLIENT_APP)
        assert order is not None
        make = task_client

        def reaching(order: TaskOrder, **options: Any) -> TaskClient:
            return supernode.reach(make(order, **options))

        monkeypatch.setattr(program, "task_client", reaching)
        # What other tests have imported here would be taken for preloaded.
        monkeypatch.setattr(bare, "_bare", [True])
        yield supernode, order
    for each, handler in handlers.items():
        signal.signal(each, handler)


def handover(order: TaskOrder) -> Handover:
    return Handover(order, Channel.pair()[0], {})


def asked() -> RecordDict:
    return RecordDict({"asked": ConfigRecord({"do": "tell"})})


def test_a_clientapp_is_loaded_called_and_its_context_pushed(
    node: tuple[SuperNode, TaskOrder],
) -> None:
    supernode, order = node
    events: list[Any] = []

    def tell(event: Any) -> bool:
        events.append(event)
        return True

    assert program.run_clientapp(handover(order), tell, str) == 0
    assert [event["event"] for event in events] == ["begun", "pulled", "replied", "finished"]
    state = supernode.state.get_run_series_context(1).state
    assert state["steps"]["count"] == 1
    (task,) = supernode.state.get_tasks()
    assert (task.status.status, task.status.sub_status) == ("finished", "completed")


def test_an_app_that_cannot_be_loaded_is_answered_with_flwrs_code(
    node: tuple[SuperNode, TaskOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    supernode, _ = node
    broken = probe_fab(**{"probe/client_app": "app = 'not a ClientApp'\n"})
    supernode.add_run(2, broken)
    message = message_to(NODE_ID, 2, asked())
    supernode.give(2, message)
    second = supernode.acquire(TaskKind.CLIENT_APP)
    assert second is not None
    monkeypatch.delitem(sys.modules, "probe.client_app", raising=False)
    monkeypatch.delitem(sys.modules, "probe", raising=False)
    assert program.run_clientapp(handover(second), lambda _: True, str) == 1
    reply = supernode.state.reply_to(message.metadata.message_id)
    assert reply is not None
    assert reply.error.code == ErrorCode.CLIENT_APP_NOT_LOADED


def test_an_executor_answers_for_a_process_that_died(
    node: tuple[SuperNode, TaskOrder],
) -> None:
    """With the task's token: its message is pulled, if the process had not, and answered."""
    supernode, order = node
    with supernode.task_client(order) as client:
        assert client.push_error(Error(ErrorCode.CLIENT_APP_CRASHED, "why"))
        pulled = client.pulled
    assert pulled is not None
    reply = supernode.state.reply_to(MessageProto.FromString(pulled).metadata.message_id)
    assert (reply.error.code, reply.error.reason) == (ErrorCode.CLIENT_APP_CRASHED, "why")
