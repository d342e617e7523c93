"""What a step takes more while somebody looks into the store that it writes to."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, RecordDict

from bench.row import Row
from fedstate.flower.stored_values import encode_context
from fedstate.large.context import SplitContext
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value

_RUNS = (1, 2, 3, 4)
_STEPS = 60
_NUMBERS = 2**18  # a mebibyte of them
# What a ClientApp computes between two steps.
_PAUSE_SECONDS = 0.05
_BOUND_SECONDS = 0.05
_COMMANDS = (("list",), ("show", "1"), ("log",), ("history", "2"), ("receipts",))


def rows() -> Iterator[Row]:
    """Measure the longest step of four runs while somebody looks; yield a row."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as directory:
        other = Path(directory) / "other"
        _longest(other)
        # The commands take a processor in both cases.
        with _looking(other):
            alone = _longest(Path(directory) / "alone")
        place = Path(directory) / "looked-into"
        with _looking(place):
            beside = _longest(place)
    yield Row(
        "what the longest step takes more while commands look into its store and not into "
        f"another, against {_BOUND_SECONDS * 1000:.0f} ms",
        max(beside - alone, 0.0),
        _BOUND_SECONDS,
        1.0,
        "s",
    )


def _longest(directory: Path) -> float:
    """Let four runs write at once; return the seconds of the longest step."""
    longest = dict.fromkeys(_RUNS, 0.0)
    with closing(NodeStore(directory)) as store:

        def work(run_id: int) -> None:
            for number in range(1, _STEPS + 1):
                longest[run_id] = max(longest[run_id], _step(store, run_id, number))
                time.sleep(_PAUSE_SECONDS)

        for run_id in _RUNS:
            run = StoredRun(run_id, run_id, "fab", None)
            store.add_run(run, Value(b"run"), Value(b"fab"), _context(run_id, 0))
        threads = [threading.Thread(target=work, args=(run_id,)) for run_id in _RUNS]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            store.maintain()
            time.sleep(_PAUSE_SECONDS)
    return max(longest.values())


def _step(store: NodeStore, run_id: int, number: int) -> float:
    message, value = f"{run_id}-{number}", _context(run_id, number)
    began = time.perf_counter()
    store.receive(message, run_id, Value(b"message"))
    store.commit(message, run_id, value, Value(b"reply"), Attempt(1, str(number), "train"))
    store.answered(message, b"signature")
    return time.perf_counter() - began


def _context(run_id: int, number: int) -> Value:
    numbers = np.random.default_rng(run_id * 1000 + number).random(_NUMBERS, np.float32)
    records = RecordDict({"head": ArrayRecord({"kernel": Array(numbers)})})
    return encode_context(SplitContext.split(Context(run_id, 1, {}, records, {}, run_id)))


@contextmanager
def _looking(place: Path) -> Iterator[None]:
    """Run the commands that look into a store, one after the other, during the block."""
    ended = threading.Event()
    program = [str(Path(sys.executable).parent / "fedstate"), "state"]

    def look() -> None:
        while not ended.is_set():
            for command in _COMMANDS:
                subprocess.run(
                    [*program, *command, "--state", place], capture_output=True, check=False
                )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
