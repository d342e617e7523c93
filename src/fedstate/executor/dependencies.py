"""An app's own pinned dependencies: installed once for a run, and found before anything else."""

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

from fedstate.flower import apps

_COMPLETE = ".complete"


def wanted(directory: Path) -> bool:
    """Return whether an app has dependencies beside flwr, which is here already."""
    return bool(apps.dependencies_of(directory))


def provide(directory: Path, run_id: int, launch_id: str) -> Path:
    """Let this process find the app's dependencies before those that are installed beside flwr.

    The first task of the run installs them with ``uv sync``, into an environment of the run; the
    others use what it has installed. Only in a bare process: a module that was imported stays.

    Returns
    -------
    Path
        The environment.
    """
    environment = apps.runtime_environment(directory, run_id)
    stamp = environment / _COMPLETE
    # Another Python, or another version of the app, is another environment.
    wanted_stamp = hashlib.sha256(
        sys.version.encode() + (directory / "pyproject.toml").read_bytes()
    ).hexdigest()
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_name(f".{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted_stamp:
            shutil.rmtree(environment, ignore_errors=True)  # what a killed task has left
            apps.install_dependencies(directory, run_id, launch_id)
            stamp.write_text(wanted_stamp)
    activate(environment)
    return environment


def activate(environment: Path) -> None:
    """Let this process find first what is installed in an environment; twice is as once."""
    if not any(Path(each).is_relative_to(environment) for each in sys.path if each):
        apps.activate(environment)
