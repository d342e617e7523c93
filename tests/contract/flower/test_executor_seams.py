"""What the executor relies on in flwr and TensorFlow and is not public: an upgrade fails here."""

import importlib
import inspect
from importlib.metadata import entry_points
from typing import Any

import pytest
from flwr.cli.install import install_from_fab
from flwr.clientapp.utils import get_load_client_app_fn
from flwr.proto.runtime_pb2 import AcquireTaskResponse
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.superexec.executor.types import ExecutionSpec, LaunchResult
from flwr.supercore.superexec.plugin import AutoExecPlugin
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message

from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.task_program import command_line
from fedstate.flower.tasks import RuntimeApi, TaskSource


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


class Launched:
    """What flwr's plugin asks an executor for, taken down."""

    spec: ExecutionSpec

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        self.spec = spec
        return LaunchResult.accepted()


def test_the_kinds_of_task_are_flwrs() -> None:
    assert {kind.name: kind.value for kind in TaskKind} == {
        kind.name: kind.value for kind in TaskType
    }


@pytest.mark.parametrize("kind", list(TaskType))
def test_a_task_is_ordered_as_flwrs_plugin_orders_it(
    kind: TaskType, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: Any = Launched()
    plugin = AutoExecPlugin("a:1", True, None, True, executor=launched)
    task = Task(task_id=3, type=kind, run_id=5)
    plugin.launch_task(token="token", task=task)
    source = TaskSource(RuntimeApi("a:1", insecure=True, dependency_install=True))
    answer = AcquireTaskResponse(task=task, token="token")
    monkeypatch.setattr(source._client, "AcquireTask", lambda _: answer)
    order = source.acquire([TaskKind(kind)])
    assert order is not None
    theirs = vars(launched.spec)
    for name, value in vars(order).items():
        assert value == theirs["task_type" if name == "kind" else name]
    # Of what flwr orders beyond that, none of its programs is told.
    assert set(theirs) - set(vars(order)) == {"task_type", "fab_hash"}


@pytest.mark.parametrize("kind", list(TaskKind))
@pytest.mark.parametrize("insecure", [True, False])
def test_every_kind_of_task_has_a_program_that_takes_our_arguments(
    kind: TaskKind, insecure: bool
) -> None:
    order = TaskOrder(kind, 1, "token", "a:1", insecure, None if insecure else "ca", True, 7)
    name, *arguments = command_line(order)
    (program,) = entry_points(group="console_scripts", name=name)
    function = program.load()
    module = importlib.import_module(function.__module__)
    (parser,) = [
        value for key, value in vars(module).items() if key.startswith("_parse_args_run_flwr_")
    ]
    given = vars(parser().parse_args(arguments))
    expected = {
        "runtime_api_address": "a:1",
        "token": "token",
        "parent_pid": 7,
        "insecure": insecure,
        "root_certificates": order.root_certificates_path,
        "runtime_dependency_install": True,
    }
    assert expected.items() <= given.items()


def test_the_parts_of_a_clientapp_task() -> None:
    assert parameters(pull_task_input) == ["client"]
    assert parameters(push_message) == ["client", "message", "context"]
    assert parameters(install_from_fab) == ["fab_file", "install_dir", "skip_prompt"]
    assert parameters(get_load_client_app_fn) == ["default_app_ref", "app_path", "multi_app"]
    assert {"start", "stop", "is_running"} <= set(vars(HeartbeatSender))


def test_a_client_takes_a_timeout() -> None:
    assert {"timeout", "retry_invoker"} <= set(parameters(ProtobufClient))


def test_tensorflow_tells_whether_it_has_started() -> None:
    """Only the attributes: asking for the context would start nothing, but import it all."""
    from tensorflow.python.eager import context

    assert hasattr(context, "_context")
    assert hasattr(context.Context(), "_context_handle")
