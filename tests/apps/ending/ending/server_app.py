"""A ServerApp that ends as its run config says."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

app = ServerApp()
kept: list[object] = []


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Write what this process is, and end."""
    result = Path(str(context.run_config["result"]))
    print("the last words")  # noqa: T201
    WAYS[str(context.run_config["how"])](result)


def returns(result: Path) -> None:
    """Leave a file open, a thread and an exit function."""
    unclosed = result.open("w")
    unclosed.write(json.dumps({"argv": sys.argv, "stdin": sys.stdin.read()}))
    kept.append(unclosed)
    late = result.with_suffix(".thread")
    threading.Timer(0.5, late.write_text, ["ended"]).start()


def forks(result: Path) -> None:
    """Let forks end in every way, and pools be stopped."""
    codes = []
    ends: list[Callable[[], object]] = [lambda: None, lambda: sys.exit(7), _fail, _terminated]
    for end in ends:
        # As when flwr's thread that sends what is printed has just looked for more.
        with _printed().mutex:
            pid = os.fork()
            if pid == 0:
                print("printed by a fork")  # noqa: T201
                end()
                return
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    for _ in range(5):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            codes.append(sum(pool.map(abs, range(3))))
    result.write_text(json.dumps(codes))


def _printed() -> Queue[str]:
    """Return what flwr's program keeps of what the app prints."""
    cells = sys.stdout.write.__closure__ or ()
    (queue,) = (cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Queue))
    found: Queue[str] = queue
    return found


def _fail() -> None:
    raise ValueError("a fork has failed")


def _terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def _open_files() -> None:
    """Open more files than a process may have open."""
    opened: list[int] = []
    while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))


def _interrupted() -> None:
    raise KeyboardInterrupt


WAYS: dict[str, Callable[[Path], object]] = {
    "return": returns,
    "forks": forks,
    "exit 3": lambda _: sys.exit(3),
    "exit 0": lambda _: sys.exit(0),
    "exit with words": lambda _: sys.exit("no nodes today"),
    "interrupt": lambda _: _interrupted(),
    "raise": lambda _: _fail(),
    "files": lambda _: _open_files(),
    "leave": lambda _: os._exit(4),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
}
