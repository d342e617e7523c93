"""Runs that share one node: what their steps wait for each other in its store.

The steps are made as a SuperNode makes them, on real threads and with a real store, but with no
ClientApp between loading a Context and committing the next: nothing but the store is measured,
and the runs meet in it all the time.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, RecordDict

from bench.row import Row
from fedstate.flower.nodestate import CACHE_BYTES, DurableNodeState, durable_node_state
from fedstate.large.context import SplitContext
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import CHUNK_BYTES, Value

_RUNS = 4
_ARRAYS = 50
_ROUNDS = 4
_REPEATS = 5
# A tenth of a SuperNode's, as steps take here a tenth of those that train, or less.
_MAINTENANCE_SECONDS = 0.2


def rows() -> Iterator[Row]:
    """Measure steps and loads of several runs, and yield one row for each."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as directory:
        yield _steps(Path(directory))
        yield _loads(Path(directory))


def _steps(directory: Path) -> Row:
    """Measure until the last of several runs has ended, and one run alone."""
    seconds: dict[int, list[float]] = {1: [], _RUNS: []}
    for repeat in range(_REPEATS):
        for count in (1, _RUNS):
            states = [_states(run_id, _ROUNDS) for run_id in range(1, count + 1)]
            with _node(directory / f"steps-{count}-{repeat}", count) as state:
                began = time.perf_counter()
                with ThreadPoolExecutor(count) as pool:
                    done = [
                        pool.submit(_run, state, run_id, states[run_id - 1])
                        for run_id in range(1, count + 1)
                    ]
                for each in done:
                    each.result()
                seconds[count].append(time.perf_counter() - began)
    return Row(
        f"{_RUNS} runs at once with a state of {_ARRAYS} MB each, on one node, against one run",
        statistics.median(seconds[_RUNS]),
        statistics.median(seconds[1]),
        float(_RUNS),
        "s",
    )


def _loads(directory: Path) -> Row:
    """Measure how long the Context of one run takes to load, beside the steps of the others."""
    alone, beside = list[float](), list[float]()
    states = [_states(run_id, _ROUNDS) for run_id in range(1, _RUNS)]
    # Without a cache: as after a start, or with states that are too large for it.
    with _node(directory / "loads", _RUNS, cache_bytes=0) as state:
        state.set_run_series_context(_RUNS, _context(_RUNS, _states(_RUNS, 1)[0]))
        for _ in range(_REPEATS):
            alone.append(_load(state, _RUNS))
        with ThreadPoolExecutor(_RUNS - 1) as pool:
            done = [
                pool.submit(_run, state, run_id, states[run_id - 1]) for run_id in range(1, _RUNS)
            ]
            while not all(each.done() for each in done):
                beside.append(_load(state, _RUNS))
        for each in done:
            each.result()
    return Row(
        f"loading a state of {_ARRAYS} MB while {_RUNS - 1} other runs commit, against alone",
        statistics.median(beside),
        statistics.median(alone),
        None,
        "s",
    )


@contextmanager
def _node(
    directory: Path, runs: int, cache_bytes: int = CACHE_BYTES
) -> Iterator[DurableNodeState]:
    with closing(NodeStore(directory)) as store:
        state = durable_node_state(store, cache_bytes)
        for run_id in range(1, runs + 1):
            run = StoredRun(run_id=run_id, series_id=run_id, fab_hash="fab", finished_at=None)
            store.add_run(run, Value(b""), Value(b""), Value(b""))
            state.set_run_series_context(run_id, _context(run_id, []))
        stopped = threading.Event()
        thread = threading.Thread(target=_maintain, args=(store, stopped))
        thread.start()
        try:
            yield state
        finally:
            stopped.set()
            thread.join()


def _maintain(store: NodeStore, stopped: threading.Event) -> None:
    while not stopped.wait(_MAINTENANCE_SECONDS):
        store.maintain()


def _run(state: DurableNodeState, run_id: int, states: Sequence[list[bytes]]) -> None:
    """Make the steps of one run."""
    for number, arrays in enumerate(states):
        message = f"message {run_id}-{number}"
        state.store.receive(message, run_id, Value(b"message"))
        assert state.split_context(run_id) is not None  # noqa: S101
        left = SplitContext.split(_context(run_id, arrays))
        # The reply carries the same weights, as in federated averaging.
        state.commit_step(message, run_id, left, Value(b"reply", arrays))
        state.store.answered(message)


def _load(state: DurableNodeState, run_id: int) -> float:
    began = time.perf_counter()
    assert state.split_context(run_id) is not None  # noqa: S101
    return time.perf_counter() - began


def _states(run_id: int, count: int) -> list[list[bytes]]:
    """Return the arrays of a run after each of its rounds, all of them changed in each."""
    content = np.random.default_rng(run_id).bytes(CHUNK_BYTES - 3)
    return [
        [bytes([run_id, number, array]) + content for array in range(_ARRAYS)]
        for number in range(count)
    ]


def _context(run_id: int, arrays: list[bytes]) -> Context:
    entries = {
        str(number): Array("uint8", (len(data),), "raw", data)
        for number, data in enumerate(arrays)
    }
    return Context(run_id, 1, {}, RecordDict({"weights": ArrayRecord(entries)}), {}, run_id)
