"""flwr's program for a ServerApp, with our installation and our Grid.

The program makes the Grid and installs the app itself. It finds both by global names of its
module and has no parameter for them, so the names are bound anew in the process of the one task.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

# Imported for the fork server, of which every ServerApp's process is a copy.
import flwr.superlink.cli.flwr_serverapp  # noqa: F401
from flwr.superlink.grid import HttpGrid


def program() -> ModuleType:
    """Return the module of flwr's program; its package hides it behind the function's name."""
    return import_module("flwr.superlink.runtime.run_serverapp")


def rebind(*, install: Callable[[bytes], Path], grid: type[HttpGrid]) -> None:
    """Let the program in this process install the app with `install` and make this Grid."""

    def install_from_fab(content: bytes, *, skip_prompt: bool) -> Path:
        del skip_prompt  # there is nobody to ask
        return install(content)

    module = program()
    module.install_from_fab = install_from_fab  # type: ignore[attr-defined]
    module.HttpGrid = grid  # type: ignore[attr-defined]
