"""A directory that the apps of every executor may write to, whatever user their runs have.

An app writes into the room of its run, which is deleted with the run, and tests cannot look into
it. Directories of pytest's own are closed to other users.
"""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path


@functools.cache
def open_directory() -> Path:
    """Return the directory of this process; executors that start from now on let apps in."""
    directory = Path(tempfile.mkdtemp(prefix="fedstate-test-"))
    directory.chmod(0o777)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ["FEDSTATE_EXECUTOR_WRITABLE"] = str(directory)
    return directory


def new_directory() -> Path:
    """Return a new directory in it."""
    directory = Path(tempfile.mkdtemp(dir=open_directory()))
    directory.chmod(0o777)
    return directory
