"""What an app sees of the process that it runs in: a Python program that has just started."""

import builtins
import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from fedstate.flower.task_order import TaskKind


def become_program(kind: TaskKind) -> None:
    """Give this process the arguments and the main module of flwr's program for the task.

    A fork has those of the executor, its options included; a process that an app spawns with
    `multiprocessing` runs the main module's file once more.
    """
    script = script_of(kind)
    sys.argv = [str(script)]
    sys.orig_argv = [sys.executable, str(script)]
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    if script.is_file():
        main.__file__ = str(script)
    sys.modules["__main__"] = main
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    if (process := sys.modules.get("multiprocessing.process")) is not None:
        # Whoever has this key can have the app's processes unpickle anything: each task has its
        # own, as each program has.
        process.current_process().authkey = os.urandom(32)
        process.ORIGINAL_DIR = os.getcwd()  # type: ignore[attr-defined]  # noqa: PTH109


def script_of(kind: TaskKind) -> Path:
    """Return the file that is flwr's program for such a task; it may not be installed."""
    return Path(sysconfig.get_path("scripts")) / str(kind)
