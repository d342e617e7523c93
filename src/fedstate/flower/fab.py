"""Installing an app where several tasks may do so at once."""

import fcntl
import tempfile
from pathlib import Path

from flwr.cli.install import install_from_fab
from flwr.common.config import get_project_dir
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run


def install(fab: Fab, run: Run) -> Path:
    """Install the run's app, once for all its tasks, and return its directory.

    flwr's `install_from_fab` copies into the final directory and takes any directory that is
    there for whole: of two tasks that start at once, one may load half an app. Here the app is
    put together beside its place and moved into it.
    """
    place = get_project_dir(run.fab_id, run.fab_version, fab.hash_str)
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as beside:
                made = install_from_fab(fab.content, Path(beside), skip_prompt=True)
                made.rename(place)
    return place
