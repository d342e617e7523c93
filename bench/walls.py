"""What the walls around a run cost each of its messages."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench import message
from bench.row import Row
from fedstate.errors import FederationError
from fedstate.executor.pool import Limits, TaskPool
from fedstate.executor.room_settings import NONE, REQUIRE, RoomSettings
from fedstate.executor.rooms import Rooms
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.supervisor import ForkServers
from fedstate.waiting import wait_until

GOAL_SECONDS = 0.010
_ADDRESS = "127.0.0.1:1"
_START_SECONDS, _POLL_SECONDS = 120.0, 0.1
# What is less than that is noise.
_LEAST_SECONDS = 1e-4


def rows() -> Iterator[Row]:
    """Measure, and yield the row; environment `QUICK=1` measures less."""
    messages = 50 if os.environ.get("QUICK") else 300
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        # Runs with users of their own have to pass.
        Path(temporary).chmod(0o755)
        yield _per_message(Path(temporary), messages)


def _per_message(directory: Path, messages: int) -> Row:
    """Measure messages behind all walls of this machine and without any, one after the other.

    All that lies between the order of a task and the end of its process is the executor's own:
    no server is asked for anything.
    """
    seconds: dict[str, list[float]] = {REQUIRE: [], NONE: []}
    failures: list[str] = []
    with _importable(), ExitStack() as stack:
        pools = {}
        for walls in seconds:
            pools[walls] = _pool(directory / walls, walls, failures)
            stack.callback(pools[walls].close)
        for pool in pools.values():
            wait_until(partial(_ready, pool), _START_SECONDS)
        # Before the first message of a run its room is made, which is paid once.
        for number in range(messages + 1):
            for walls, pool in pools.items():
                taken = _message(pool, number)
                if failures:
                    raise FederationError(f"A message without an app failed: {failures[0]}")
                if number:
                    seconds[walls].append(taken)
    behind, free = median(seconds[REQUIRE]), median(seconds[NONE])
    extra = median(
        with_walls - without
        for with_walls, without in zip(seconds[REQUIRE], seconds[NONE], strict=True)
    )
    return Row(
        f"what walls cost a message ({1000 * behind:.1f} ms against {1000 * free:.1f} ms), "
        "against 10 ms",
        max(extra, _LEAST_SECONDS),
        GOAL_SECONDS,
        1.0,
        "s",
    )


@contextmanager
def _importable() -> Iterator[None]:
    """Let the programs that are started within find this package."""
    before = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, before)))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _pool(directory: Path, walls: str, failures: list[str]) -> TaskPool:
    entry = message.__name__
    rooms = Rooms(RoomSettings(directory=directory, walls=walls), _ADDRESS, entry=entry)
    return TaskPool(
        ForkServers(entry, ("numpy", "fedstate.executor.room")),
        Limits(),
        rooms=rooms,
        entry=entry,
        report=lambda _, reason: failures.append(reason),
    )


def _ready(pool: TaskPool) -> bool:
    pool.wait(_POLL_SECONDS)
    pool.reconcile()
    return pool.ready


def _message(pool: TaskPool, number: int) -> float:
    """Let a task run to its end, and return how long that took, in seconds."""
    order = TaskOrder(
        TaskKind.CLIENT_APP, number, "token", _ADDRESS, insecure=True, run_id=1, fab_hash="f" * 64
    )
    began = time.monotonic()
    pool.launch(order)
    while pool.busy:
        pool.wait(_START_SECONDS)
        pool.reconcile()
    return time.monotonic() - began
