"""flwr's program for a ServerApp, with our installation, our loading, our call and our Grid.

The program makes the Grid, installs the app, loads and calls it by itself. It finds the functions
by global names of its modules and has no parameter for them, so the names are bound anew in the
process of the one task.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
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


def loader() -> ModuleType:
    """Return the module in which the program loads the app, and calls it."""
    return import_module("flwr.server.run_serverapp")


def ending() -> ModuleType:
    """Return the module in which the program ends its process."""
    return import_module("flwr.supercore.exit.exit")


# flwr ends the process after 5 s, whether the server has taken the output of its task or not: on
# a busy machine a run that was completed counts as failed.
OUTPUT_SECONDS = 60

RunApp = Callable[[Callable[[], Any], Path, str], Any]


def rebind(
    *,
    install: Callable[[bytes], Path],
    provide: Callable[[Path, int, str], Path | None],
    watch: Callable[[Path], AbstractContextManager[None]],
    grid: type[HttpGrid],
    run: RunApp,
) -> None:
    """Let the program in this process install, load and call the app our way; make this Grid.

    Parameters
    ----------
    install
        Installs a FAB, and returns where.
    provide
        Lets this process find the dependencies of an installed app, given its directory, its run
        and its token; returns their environment, which the program deletes when it ends.
    watch
        Returns the context in which an installed app is loaded.
    grid
        What the program makes its Grid of.
    run
        Is called with flwr's function that loads and calls the app, the app's directory, and the
        reference of its ServerApp.
    """

    def install_from_fab(content: bytes, *, skip_prompt: bool) -> Path:
        del skip_prompt  # there is nobody to ask
        return install(content)

    def install_app_dependencies(
        project_dir: str, launch_id: str, run_id: int, index_context: Any
    ) -> Path | None:
        del index_context  # flwr's own function has no use for it either
        return provide(Path(project_dir), run_id, launch_id)

    load = loader().load_app

    def load_app(reference: str, error_type: type[Exception], project_dir: str) -> Any:
        with watch(Path(project_dir)):
            return load(reference, error_type, project_dir)

    module = program()
    theirs = module.run_

    def run_(*, server_app_dir: str, server_app_attr: str, **given: Any) -> Any:
        def load_and_call() -> Any:
            return theirs(server_app_dir=server_app_dir, server_app_attr=server_app_attr, **given)

        return run(load_and_call, Path(server_app_dir), server_app_attr)

    module.run_ = run_  # type: ignore[attr-defined]
    module.install_from_fab = install_from_fab  # type: ignore[attr-defined]
    module.install_app_dependencies = install_app_dependencies  # type: ignore[attr-defined]
    module.HttpGrid = grid  # type: ignore[attr-defined]
    loader().load_app = load_app  # type: ignore[attr-defined]
    ending().FORCE_EXIT_TIMEOUT_SECONDS = OUTPUT_SECONDS  # type: ignore[attr-defined]
