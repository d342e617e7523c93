"""Apps that import more than is preloaded: a round with PyTorch, and the memory of four runs."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from bench.federations import (
    OURS,
    STOCK,
    TORCH_APP,
    Contestant,
    federation,
    memory_megabytes,
    run,
    run_at_once,
)
from bench.rounds import NODES, compare
from bench.row import Row
from fedstate.local.execute import execute
from fedstate.local.federation import Federation

RUNS = 4
SAMPLE_SECONDS = 0.5


def rows() -> Iterator[Row]:
    """Measure, and yield each row as soon as it stands; environment `QUICK=1` measures less."""
    alternations = 1 if os.environ.get("QUICK") else 3
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        directory = Path(temporary)
        with (
            federation(STOCK, NODES, directory) as stock,
            federation(OURS, NODES, directory, execute) as ours,
        ):
            yield _torch(stock, ours, alternations)
            yield _memory(stock, ours)


def _torch(stock: Federation, ours: Federation, alternations: int) -> Row:
    """Measure the seconds per round of an app that imports PyTorch, its first round included."""
    seconds: dict[str, list[float]] = {STOCK.name: [], OURS.name: []}
    for _ in range(alternations):
        for contestant, here, rounds in ((STOCK, stock, 2), (OURS, ours, 5)):
            seconds[contestant.name] += run(here, contestant, rounds=rounds, app=TORCH_APP).rounds
    return compare(f"seconds per round with PyTorch, {NODES} nodes", seconds, 0.15)


def _memory(stock: Federation, ours: Federation) -> Row:
    """Measure the most memory that a node takes while it has steps of four runs."""
    most = {
        contestant.name: [_most(here, contestant)]
        for contestant, here in ((STOCK, stock), (OURS, ours))
    }
    return compare(f"memory of a node with {RUNS} runs, with its executor", most, None, "MB")


def _most(here: Federation, contestant: Contestant) -> float:
    node = here.nodes[0]
    most = 0.0
    with ThreadPoolExecutor(1) as pool:
        runs = pool.submit(run_at_once, here, contestant, RUNS, rounds=2)
        while not runs.done():
            most = max(most, memory_megabytes(node.supernode) + memory_megabytes(node.executor))
            wait([runs], SAMPLE_SECONDS)
        runs.result()
    return most
