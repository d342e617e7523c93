"""Installing an app where several tasks may do so at once."""

import fcntl
import hashlib
import tempfile
from pathlib import Path

from fedstate.flower.apps import app_directory, unpack


def install(content: bytes) -> Path:
    """Install an app, once for all tasks that run it, and return its directory.

    flwr's own installation copies into the final directory and takes any directory that is
    there for whole: of two tasks that start at once, one may load half an app. Here the app is
    put together beside its place and moved into it.

    Parameters
    ----------
    content : bytes
        The app's FAB.
    """
    place = app_directory(content, hashlib.sha256(content).hexdigest())
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as beside:
                made = unpack(content, Path(beside))
                made.rename(place)
    return place
