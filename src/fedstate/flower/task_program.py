"""flwr's own program for a task, run inside the process that is the task's."""

import sys
from importlib.metadata import entry_points

# Which program runs a kind of task, and the name of its option for the Runtime API's address.
from flwr.supercore.constant import (
    TASK_TYPE_TO_APPIO_API_ADDRESS_ARG,
    TASK_TYPE_TO_COMMAND,
    TaskType,
)

from fedstate.flower.task_order import TaskOrder


def run_program(order: TaskOrder) -> None:
    """Call the program; its arguments, the token among them, stay inside this process.

    Raises
    ------
    SystemExit
        If the program ends the process, as flwr's programs do.
    """
    sys.argv = command_line(order)
    (program,) = entry_points(group="console_scripts", name=sys.argv[0])
    program.load()()


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
