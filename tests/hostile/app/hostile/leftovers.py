"""What an app leaves behind: files that make trouble, and processes that start at its end."""

import atexit
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .bombs import bomb
from .kernel import LIBC, PR_SET_NAME


@bomb
def awkward_files(hints: dict[str, Any]) -> str:
    """Leave files that make trouble for whoever lists, measures or deletes them."""
    here = Path(tempfile.gettempdir(), f"{hints['tag']}-awkward")
    here.mkdir()
    for name in (b"a\nb", b"-rf", b"\xff\xfe", b" ", b"*", b"$(id)", b"n" * 255, b"\x1b[2J"):
        Path(os.fsdecode(os.fsencode(here) + b"/" + name)).write_text("left")
    (here / "up").symlink_to("/")
    (here / "loop").symlink_to("loop")
    os.mkfifo(here / "pipe")
    os.link(here / "-rf", here / "again")
    with (here / "holes").open("wb") as file:
        file.truncate(64 * 2**20)
    closed = here / "closed"
    closed.mkdir()
    (closed / "file").touch(mode=0o000)
    closed.chmod(0o000)
    with socket.socket(socket.AF_UNIX) as end:
        os.chdir(here)
        end.bind("socket")
    for _ in range(5000):
        os.mkdir("d")  # noqa: PTH102  no path is long enough
        os.chdir("d")
    os.chdir("/")
    return f"left: {here}"


@bomb
def fork_at_the_end(hints: dict[str, Any]) -> str:
    """Start processes when the task ends: by atexit, by a thread that lives on, by a signal."""

    def leave(kind: str) -> None:
        if os.fork() == 0:
            os.setsid()
            LIBC.prctl(PR_SET_NAME, f"{hints['tag']}-{kind}".encode(), 0, 0, 0)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(60)
            os._exit(0)

    atexit.register(leave, "a")
    signal.signal(signal.SIGTERM, lambda *_: leave("t"))

    def follow() -> None:
        threading.main_thread().join()
        leave("m")

    threading.Thread(target=follow, daemon=False).start()
    return "left"
