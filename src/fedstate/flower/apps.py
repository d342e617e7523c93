"""Flower Apps on this machine: where one lies, how it is unpacked, and loading its ClientApp."""

from dataclasses import dataclass, field
from pathlib import Path

# What a FAB says of itself, and the directory that flwr looks for its app in.
from flwr.cli.config_utils import get_fab_metadata
from flwr.cli.install import install_from_fab
from flwr.clientapp import ClientApp

# Loading an app is not public, nor is the error that says why it cannot be loaded: its name is
# part of the reason in the error reply.
from flwr.clientapp.client_app import LoadClientAppError
from flwr.clientapp.utils import get_load_client_app_fn
from flwr.common.config import get_project_dir

# How flwr installs what an app depends on. Its parts are not public, and its whole installs for
# each task anew.
from flwr.supercore.superexec.dependency_installer import (
    _activate_runtime_env,
    _create_runtime_env_dir,
    _exclude_flwr_dependencies,
    _get_project_dependencies,
    install_app_dependencies,
)

__all__ = [
    "App",
    "LoadClientAppError",
    "activate",
    "app_directory",
    "dependencies_of",
    "install_dependencies",
    "load_client_app",
    "runtime_environment",
    "unpack",
]


@dataclass(frozen=True)
class App:
    """The app of a run.

    Attributes
    ----------
    run_id : int
        The run.
    fab_id, fab_version, fab_hash : str
        By what flwr finds the app once it is installed.
    fab : bytes
        The FAB itself.
    node_id : int
        The node that it runs on.
    """

    run_id: int
    fab_id: str
    fab_version: str
    fab_hash: str
    fab: bytes = field(repr=False)
    node_id: int = 0


def app_directory(fab: bytes, fab_hash: str) -> Path:
    """Return the directory in which flwr looks for the app; it may not be there yet."""
    return get_project_dir(*get_fab_metadata(fab), fab_hash)


def unpack(fab: bytes, directory: Path) -> Path:
    """Unpack an app somewhere below a directory, and return the app's own."""
    return install_from_fab(fab, directory, skip_prompt=True)


def dependencies_of(directory: Path) -> list[str]:
    """Return what an installed app depends on, beside flwr."""
    return _exclude_flwr_dependencies(_get_project_dependencies(directory))


def runtime_environment(directory: Path, run_id: int) -> Path:
    """Return where flwr installs what the app depends on; it may not be there yet."""
    return _create_runtime_env_dir(directory, None, run_id)


def install_dependencies(directory: Path, run_id: int, launch_id: str) -> Path:
    """Install what the app depends on, and let this process use it; return the environment."""
    return install_app_dependencies(directory, launch_id=launch_id, run_id=run_id)


def activate(environment: Path) -> None:
    """Let this process find first what is installed in an environment."""
    _activate_runtime_env(environment)


def load_client_app(app: App) -> ClientApp:
    """Import the ClientApp of an installed app.

    Raises
    ------
    LoadClientAppError
        If the app is not installed, or has no such ClientApp.
    """
    load = get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
    return load(app.fab_id, app.fab_version, app.fab_hash)
