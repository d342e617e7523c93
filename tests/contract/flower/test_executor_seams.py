"""What the executor relies on in flwr and TensorFlow and is not public: an upgrade fails here."""

import inspect
from dataclasses import fields
from importlib.metadata import entry_points
from typing import Any

import pytest
from flwr.cli.install import install_from_fab
from flwr.clientapp.utils import get_load_client_app_fn
from flwr.supercore.constant import (
    TASK_TYPE_TO_APPIO_API_ADDRESS_ARG,
    TASK_TYPE_TO_COMMAND,
    TaskType,
)
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.superexec.executor.types import ExecutionSpec, Executor
from flwr.supercore.superexec.plugin import AutoExecPlugin
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message

from fedstate.executor.pool import WarmExecutor


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "name", [name for name in vars(Executor) if not name.startswith("_") and name != "mro"]
)
def test_the_warm_executor_is_an_executor(name: str) -> None:
    assert parameters(getattr(WarmExecutor, name)) == parameters(getattr(Executor, name))


def test_a_task_is_described_by_these_fields() -> None:
    """The worker rebuilds the description from JSON."""
    assert {field.name: str(field.type) for field in fields(ExecutionSpec)} == {
        "task_type": "TaskType",
        "runtime_api_address": "str",
        "token": "str",
        "insecure": "bool",
        "root_certificates_path": "str | None",
        "runtime_dependency_install": "bool",
        "parent_pid": "int | None",
        "suppress_output": "bool",
        "task_id": "int",
        "fab_hash": "str | None",
    }


def test_the_plugin_launches_through_an_executor() -> None:
    assert parameters(AutoExecPlugin.launch_task) == ["self", "token", "task"]


@pytest.mark.parametrize("task_type", list(TaskType))
def test_every_kind_of_task_has_a_program(task_type: TaskType) -> None:
    name = TASK_TYPE_TO_COMMAND[task_type]
    (program,) = entry_points(group="console_scripts", name=name)
    assert callable(program.load())
    assert TASK_TYPE_TO_APPIO_API_ADDRESS_ARG[task_type].startswith("--")


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
