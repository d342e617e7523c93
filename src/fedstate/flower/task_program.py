"""flwr's own program for a task, run inside the process that is the task's."""

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import httpx

# What every one of the programs pushes its task's output and its log with.
from flwr.proto.log_pb2 import PushLogsRequest, PushLogsResponse
from flwr.proto.runtime_pb2 import PushTaskOutputRequest, PushTaskOutputResponse

# Which program runs a kind of task, and the name of its option for the Runtime API's address.
from flwr.supercore.constant import (
    TASK_TYPE_TO_APPIO_API_ADDRESS_ARG,
    TASK_TYPE_TO_COMMAND,
    TaskType,
)
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.flower import transport
from fedstate.flower.task_order import TaskOrder

# Within those that a ServerApp's program is given for its end.
_OUTPUT_SECONDS = 30.0
_AGAIN_SECONDS = 0.5


def run_program(order: TaskOrder, *, on_output: Callable[[], object]) -> None:
    """Call the program; its arguments, the token among them, stay inside this process.

    Parameters
    ----------
    order
        The task.
    on_output
        Is called when the server has taken the task's output.

    Raises
    ------
    SystemExit
        If the program ends the process, as flwr's programs do.
    """
    before = sys.argv
    name, *arguments = command_line(order)
    (program,) = entry_points(group="console_scripts", name=name)
    main = program.load()
    _watch_output(on_output)
    _forgive_late_logs()
    _once_parsed(lambda: setattr(sys, "argv", before))
    sys.argv = [before[0], *arguments]
    main()


def _watch_output(on_output: Callable[[], object]) -> None:
    """Push the output of this process's task until the server has it, and tell that it has.

    flwr's programs try once: where the connection has broken meanwhile, since the server was
    restarted or has another certificate now, a run that was completed would count as failed.
    """
    theirs = RuntimeHttpClient.PushTaskOutput

    def PushTaskOutput(  # noqa: N802
        self: RuntimeHttpClient, request: PushTaskOutputRequest
    ) -> PushTaskOutputResponse:
        until, broken, response = time.monotonic() + _OUTPUT_SECONDS, False, None
        while response is None:
            try:
                response = theirs(self, request)
            except httpx.TransportError:
                if time.monotonic() >= until:
                    raise
                broken = True
                time.sleep(_AGAIN_SECONDS)
            except httpx.HTTPStatusError as error:
                # The output has arrived, and only the answer has not: the task is over.
                if not broken or not transport.is_unauthorized(error):
                    raise
                response = PushTaskOutputResponse()
        on_output()
        return response

    RuntimeHttpClient.PushTaskOutput = PushTaskOutput  # type: ignore[method-assign]


def _forgive_late_logs() -> None:
    """Let the thread that uploads the log go on when the run has ended, and with it the token."""
    theirs = RuntimeHttpClient.PushLogs

    def PushLogs(self: RuntimeHttpClient, request: PushLogsRequest) -> PushLogsResponse:  # noqa: N802
        try:
            return theirs(self, request)
        except httpx.HTTPStatusError as error:
            if not transport.is_unauthorized(error):
                raise
            return PushLogsResponse()  # nobody takes them any longer

    RuntimeHttpClient.PushLogs = PushLogs  # type: ignore[method-assign]


def _once_parsed(then: Callable[[], None]) -> None:
    """Call something when the program, first of all, has read its arguments: no app sees them."""
    theirs = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any, **options: Any) -> Any:
        argparse.ArgumentParser.parse_args = theirs  # type: ignore[method-assign]
        try:
            return theirs(self, *given, **options)
        finally:
            then()

    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign]


def command_line(order: TaskOrder) -> list[str]:
    """Return the program's name and its arguments."""
    kind = TaskType(order.kind)
    command = [
        TASK_TYPE_TO_COMMAND[kind],
        TASK_TYPE_TO_APPIO_API_ADDRESS_ARG[kind],
        order.runtime_api_address,
        "--token",
        order.token,
    ]
    if order.parent_pid is not None:
        command += ["--parent-pid", str(order.parent_pid)]
    if order.insecure:
        command.append("--insecure")
    elif order.root_certificates_path is not None:
        command += ["--root-certificates", order.root_certificates_path]
    if order.runtime_dependency_install:
        command.append("--allow-runtime-dependency-installation")
    return command
