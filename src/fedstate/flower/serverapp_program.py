"""flwr's program for a ServerApp, with our installation, our Grid and our way to call the app.

The program makes the Grid, installs the app and calls it itself. It finds all of these by global
names of its module and has no parameter for them, so the names are bound anew in the process of
the one task.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# Imported for the fork server, of which every ServerApp's process is a copy.
import flwr.superlink.cli.flwr_serverapp  # noqa: F401
from flwr.superlink.grid import HttpGrid


def program() -> ModuleType:
    """Return the module of flwr's program; its package hides it behind the function's name."""
    return import_module("flwr.superlink.runtime.run_serverapp")


RunApp = Callable[[Callable[[], Any], Path, str], Any]


def rebind(*, install: Callable[[bytes], Path], grid: type[HttpGrid], run: RunApp) -> None:
    """Let the program in this process do some things our way.

    Parameters
    ----------
    install
        Installs the app and returns its directory.
    grid
        The Grid that the app is given.
    run
        Is called with flwr's function that loads and calls the app, the app's directory, and the
        reference of its ServerApp.
    """

    def install_from_fab(content: bytes, *, skip_prompt: bool) -> Path:
        del skip_prompt  # there is nobody to ask
        return install(content)

    module = program()
    theirs = module.run_

    def run_(*, server_app_dir: str, server_app_attr: str, **given: Any) -> Any:
        def load_and_call() -> Any:
            return theirs(server_app_dir=server_app_dir, server_app_attr=server_app_attr, **given)

        return run(load_and_call, Path(server_app_dir), server_app_attr)

    module.run_ = run_  # type: ignore[attr-defined]
    module.install_from_fab = install_from_fab  # type: ignore[attr-defined]
    module.HttpGrid = grid  # type: ignore[attr-defined]
