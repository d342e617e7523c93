"""A room's process in which nothing is preloaded: a fork of the fork server that begins anew."""

import os
import sys
from typing import NoReturn


def run(descriptor: int) -> NoReturn:
    """Execute a room's process in place of this one; its parent and its ID stay."""
    os.set_inheritable(descriptor, True)
    os.execv(  # noqa: S606
        sys.executable,
        [sys.executable, "-P", "-m", "fedstate.executor.room", str(descriptor)],
    )
