"""The node store against the plainest thing that could do its work."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.row import Row
from fedstate.store.cipher import Buffer
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import CHUNK_BYTES, Value

_STATE_CHUNKS = 100
_REPEATS = 5
_RUNS = 100
_RUN_BYTES = 20_000_000
_ROUNDS = 1000
_LAYER_BYTES = 100_000

# One process for each, since memory that was freed stays with a process.
_MEMORY = """
import sys
from bench.store import memory_after_runs
print(memory_after_runs(sys.argv[1]))
"""


def rows() -> Iterator[Row]:
    """Measure commits and memory, and yield one row for each."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as directory:
        yield from _commits(Path(directory))
        yield from _kept_states(Path(directory))
    yield _memory()


def _commits(directory: Path) -> Iterator[Row]:
    random = np.random.default_rng(0)
    run = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
    with closing(NodeStore(directory / "state")) as store:
        store.add_run(run, Value(b""), Value(b""), Value(b""))
        durable, plain, changed, written = [], [], [], []
        for number in range(_REPEATS):
            # As a SuperNode has them, which keeps the state before in memory.
            layers = [memoryview(random.bytes(CHUNK_BYTES)) for _ in range(_STATE_CHUNKS)]
            # Each after the other, so that both meet the same disk.
            plain.append(_seconds(lambda: _write(directory / f"plain-{number}", layers)))  # noqa: B023
            durable.append(_seconds(lambda: _commit(store, layers)))  # noqa: B023
            store.maintain()
            # A ClientApp sends all of them anew.
            after = [memoryview(bytearray(layer)) for layer in layers]
            after[number] = memoryview(random.bytes(CHUNK_BYTES))
            before = _bytes_written()
            changed.append(_seconds(lambda: _commit(store, after)))  # noqa: B023
            written.append(_bytes_written() - before)
            store.maintain()
    yield Row(
        "durable commit of 100 MB, against writing and fsyncing the same bytes",
        statistics.median(durable),
        statistics.median(plain),
        1.3,
        "s",
    )
    yield Row(
        "bytes written for a commit in which 1% of 100 MB changed, against all of them",
        statistics.median(written),
        _STATE_CHUNKS * CHUNK_BYTES,
        0.05,
        "bytes",
    )
    yield Row(
        "time of a commit in which 1% of 100 MB changed, against one in which all did",
        statistics.median(changed),
        statistics.median(durable),
        0.15,
        "s",
    )


_CHANGES = ("in one layer of a hundred", "in one place of one layer", "scattered over one layer")


def _kept_states(directory: Path) -> Iterator[Row]:
    """Keep the states of many rounds, in each of which a hundredth changes, and read them."""
    for number, change in enumerate(_CHANGES):
        yield from _kept_states_of(directory / f"kept-{number}", change)


def _kept_states_of(directory: Path, change: str) -> Iterator[Row]:
    random = np.random.default_rng(1)
    words = random.integers(0, 2**32, 100 * _LAYER_BYTES // 4, np.uint32)
    count = 100 if change == _CHANGES[0] else 1
    run = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
    with closing(NodeStore(directory)) as store:
        store.keep = _ROUNDS + 1
        store.add_run(run, Value(b""), Value(b""), Value(b"", _layers(words, count), b""))
        for number in range(_ROUNDS):
            places = _places(random, change, number)
            words[places] = random.integers(0, 2**32, len(places), np.uint32)
            _commit(store, _layers(words, count))
            store.maintain()
        store.compact()
        numbers = [state.number for state in store.kept_states(1)]
        # Of the ones in a row some are as far from a whole chunk as any.
        read = numbers[:: len(numbers) // 50]
        # The first time, the disk and what else the machine does are measured, too.
        for _ in range(2):
            seconds = [_seconds(lambda: store.kept_context(1, number)) for number in read]  # noqa: B023
        size = store.disk_bytes
    yield Row(
        f"disk for {_ROUNDS} kept states of 10 MB of which 1% changed {change}, against what was "
        "new",
        size,
        (100 + _ROUNDS) * _LAYER_BYTES,
        2.0,
        "bytes",
    )
    yield Row(
        f"the slowest of 50 reads of one of {_ROUNDS} kept states of 10 MB of which 1% changed "
        f"{change}, against 100 ms",
        max(seconds),
        0.1,
        1.0,
        "s",
    )


def _layers(words: NDArray[np.uint32], count: int) -> list[bytes]:
    return [layer.tobytes() for layer in np.split(words, count)]


def _places(random: np.random.Generator, change: str, number: int) -> NDArray[np.int64]:
    length = _LAYER_BYTES // 4
    if change == _CHANGES[2]:
        return random.choice(100 * length, length, replace=False)
    start = number % 100 * length
    if change == _CHANGES[1]:
        start = int(random.integers(0, 99 * length))
    return np.arange(start, start + length)


def _commit(store: NodeStore, layers: Sequence[Buffer]) -> None:
    message = f"m{store.generation}"
    store.receive(message, 1, Value(b"message"))
    store.commit(message, 1, Value(b"context", layers), Value(b"reply"))


def _write(path: Path, layers: Sequence[Buffer]) -> None:
    with path.open("wb") as file:
        for layer in layers:
            file.write(layer)
        file.flush()
        os.fsync(file.fileno())


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _bytes_written() -> int:
    """Return how many bytes this process has handed to the operating system so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def _memory() -> Row:
    ours, stock = (
        float(
            subprocess.run(
                [sys.executable, "-c", _MEMORY, which],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for which in ("fedstate", "flwr")
    )
    return Row(
        f"memory of a node's state after {_RUNS} runs of 20 MB, against flwr's",
        ours,
        stock,
        None,
        "MB",
    )


def memory_after_runs(which: str) -> float:
    """Return the megabytes by which this process grew through the Contexts of 100 runs."""
    from flwr.app import ArrayRecord, Context, RecordDict

    # The two classes that are compared: what a SuperNode keeps its state in.
    from flwr.supercore.object_store import ObjectStoreFactory
    from flwr.supernode.nodestate import InMemoryNodeState, NodeState

    from fedstate.flower.nodestate import DurableNodeState
    from fedstate.flower.waiting_objects import WaitingObjectStore

    before = _resident()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as directory:
        store = NodeStore(Path(directory))
        state: NodeState = (
            DurableNodeState(WaitingObjectStore(), store)
            if which == "fedstate"
            else InMemoryNodeState(ObjectStoreFactory().store())
        )
        for number in range(1, _RUNS + 1):
            weights = np.random.default_rng(number).random(_RUN_BYTES // 8)
            record = RecordDict({"weights": ArrayRecord([weights])})
            state.set_run_series_context(number, Context(number, 1, {}, record, {}, number))
            store.maintain()
        grown = _resident() - before
        store.close()
    return grown


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
