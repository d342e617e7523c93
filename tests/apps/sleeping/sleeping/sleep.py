"""Sleeping for longer than anybody waits."""

import os
import signal
import time
from pathlib import Path

from flwr.app import Context


def sleep(context: Context, who: str) -> None:
    """Sleep if it is the turn of this one; say before which process does."""
    config = context.run_config
    if config["sleeps"] != who:
        return
    if config["deaf"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = Path(str(config["started"]))
    started.with_suffix(".writing").write_text(str(os.getpid()))
    started.with_suffix(".writing").rename(started)
    time.sleep(600)
