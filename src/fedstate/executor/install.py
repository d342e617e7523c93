"""Installing an app where several tasks may do so at once."""

import fcntl
import hashlib
import tempfile
from pathlib import Path

from flwr.cli.config_utils import get_fab_metadata
from flwr.cli.install import install_from_fab
from flwr.common.config import get_project_dir


def install(content: bytes) -> Path:
    """Install an app, once for all tasks that run it, and return its directory.

    flwr's `install_from_fab` copies into the final directory and takes any directory that is
    there for whole: of two tasks that start at once, one may load half an app. Here the app is
    put together beside its place and moved into it.

    Parameters
    ----------
    content : bytes
        The app's FAB.
    """
    place = get_project_dir(*get_fab_metadata(content), hashlib.sha256(content).hexdigest())
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as beside:
                made = install_from_fab(content, Path(beside), skip_prompt=True)
                made.rename(place)
    return place
