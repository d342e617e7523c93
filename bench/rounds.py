"""Rounds: how long they take on stock Flower, on fedstate, and without any federation."""

import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import limit
from bench.federations import (
    OURS,
    STOCK,
    cpu_seconds,
    federation,
    memory_megabytes,
    run,
    run_at_once,
)
from bench.row import Row
from fedstate.errors import FederationError
from fedstate.local.execute import execute
from fedstate.local.federation import Federation
from fedstate.local.launcher import Launcher

NODES = 3
IDLE_SECONDS = 20.0
IDLE_CPU_PERCENT = 2.0
OVERHEAD_SECONDS = 0.5


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    alternations: int
    starts: int
    rounds: int
    node_counts: tuple[int, ...]
    megabytes: tuple[float, ...]


FULL = Extent(3, 5, 5, (1, 3, 6, 12), (0.1, 1.0, 10.0, 100.0))
QUICK = Extent(1, 1, 0, (), ())


def rows() -> Iterator[Row]:
    """Measure, and yield each row as soon as it stands; environment `QUICK=1` measures less."""
    extent = QUICK if os.environ.get("QUICK") else FULL
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        directory = Path(temporary)
        yield _first_round(extent.starts, directory)
        with (
            federation(STOCK, NODES, directory) as stock,
            # As on a machine for each node: nothing that one imported is shared with another.
            federation(OURS, NODES, directory, execute) as ours,
        ):
            yield from _rounds(stock, ours, extent.alternations)
            yield _concurrent(stock, ours, extent.starts)
            yield from _idle(stock, ours)
            for megabytes in extent.megabytes:
                yield _by_size(stock, ours, megabytes, extent.rounds)
        yield _shared_memory(directory)
        yield _durability(directory, extent.alternations)
        for nodes in extent.node_counts:
            yield _by_nodes(nodes, directory, extent.rounds)


def _first_round(starts: int, directory: Path) -> Row:
    """Measure from the start of the federation to the end of the first round of a run."""
    seconds: dict[str, list[float]] = {STOCK.name: [], OURS.name: []}
    for _ in range(starts):
        for contestant in (STOCK, OURS):
            began = time.time()
            # A launcher of its own, which is what `fedstate local up` begins with.
            with (
                closing(Launcher()) as launcher,
                federation(contestant, NODES, directory, launcher) as here,
            ):
                first = run(here, contestant, rounds=1)
            seconds[contestant.name].append(first.ended[-1] - began)
    return compare("first round after the start", seconds, None)


def _rounds(stock: Federation, ours: Federation, alternations: int) -> Iterator[Row]:
    """Measure the seconds per round, and what of ours is overhead."""
    seconds: dict[str, list[float]] = {STOCK.name: [], OURS.name: [], "limit": []}
    work: dict[str, list[float]] = {STOCK.name: [], OURS.name: []}
    for _ in range(alternations):
        for contestant, here, rounds in ((STOCK, stock, 2), (OURS, ours, 5)):
            before = sum(cpu_seconds(process) for process in here.processes)
            done = run(here, contestant, rounds=rounds)
            after = sum(cpu_seconds(process) for process in here.processes)
            seconds[contestant.name] += done.rounds
            work[contestant.name].append((after - before) / rounds)
        seconds["limit"] += limit.rounds(NODES, 5, 0.1)
    yield compare(f"seconds per round, {NODES} nodes", seconds, 0.1)
    overhead = median(seconds[OURS.name]) - median(seconds["limit"])
    yield Row(
        f"overhead per round over the limit ({median(seconds['limit']):.2f} s), against 0.5 s",
        overhead,
        OVERHEAD_SECONDS,
        1.0,
        "s",
    )
    yield compare(f"CPU seconds per round of the whole federation, {NODES} nodes", work, None)


def _concurrent(stock: Federation, ours: Federation, repeats: int) -> Row:
    """Measure four runs of a round at once, from the first submission to the last end."""
    seconds: dict[str, list[float]] = {STOCK.name: [], OURS.name: []}
    for _ in range(repeats):
        for contestant, here in ((STOCK, stock), (OURS, ours)):
            done = run_at_once(here, contestant, 4, rounds=1)
            ended = max(each.ended[-1] for each in done)
            seconds[contestant.name].append(ended - done[0].submitted)
    return compare("4 runs at once, total time", seconds, 0.2)


def _idle(stock: Federation, ours: Federation) -> Iterator[Row]:
    """Measure what federations without a run use."""
    before = {id(here): _cpu_by_process(here) for here in (stock, ours)}
    time.sleep(IDLE_SECONDS)
    percent = {
        id(here): [
            100 * (now - then) / IDLE_SECONDS
            for now, then in zip(_cpu_by_process(here), before[id(here)], strict=True)
        ]
        for here in (stock, ours)
    }
    # The SuperLink, first of the processes, is Flower's own.
    busiest = max(percent[id(ours)][1:])
    yield Row(
        "idle CPU of the busiest SuperNode or executor, against 2%",
        busiest,
        IDLE_CPU_PERCENT,
        1.0,
        "% of a core",
    )
    idle = {STOCK.name: [sum(percent[id(stock)])], OURS.name: [sum(percent[id(ours)])]}
    yield compare("idle CPU of the whole federation", idle, None, "% of a core")
    memory = {
        contestant.name: [
            memory_megabytes(node.supernode) + memory_megabytes(node.executor)
            for node in here.nodes
        ]
        for contestant, here in ((STOCK, stock), (OURS, ours))
    }
    yield compare("memory of an idle node, with its executor", memory, None, "MB")


def _shared_memory(directory: Path) -> Row:
    """Measure the memory of nodes whose programs are forks of one that has imported."""
    megabytes: dict[int, float] = {}
    for nodes in (1, 4):
        with federation(OURS, nodes, directory) as here:
            run(here, OURS, rounds=1)
            megabytes[nodes] = median(
                memory_megabytes(node.supernode) + memory_megabytes(node.executor)
                for node in here.nodes
            )
    return Row(
        "memory of an idle node with three others on the machine, against a lone one",
        megabytes[4],
        megabytes[1],
        None,
        "MB",
    )


def _cpu_by_process(here: Federation) -> list[float]:
    return [cpu_seconds(process) for process in here.processes]


def _by_size(stock: Federation, ours: Federation, megabytes: float, rounds: int) -> Row:
    mine = run(ours, OURS, rounds=rounds, megabytes=megabytes).rounds
    what = f"model of {megabytes:g} MB"
    try:
        theirs = run(stock, STOCK, rounds=rounds, megabytes=megabytes).rounds
    except FederationError as error:
        # As sometimes with 100 MB; what is left to compare with is the training alone.
        warnings.warn(str(error), stacklevel=1)
        plain = limit.rounds(NODES, rounds, megabytes)
        name = f"seconds per round, {what}, against plain training: stock Flower's run fails"
        return Row(name, median(mine), median(plain), None, "s")
    return _per_minute(what, {OURS.name: mine, STOCK.name: theirs})


def _by_nodes(nodes: int, directory: Path, rounds: int) -> Row:
    seconds: dict[str, list[float]] = {}
    for contestant in (STOCK, OURS):
        with federation(contestant, nodes, directory) as here:
            seconds[contestant.name] = run(here, contestant, rounds=rounds).rounds
    return _per_minute("1 node" if nodes == 1 else f"{nodes} nodes", seconds)


def _durability(directory: Path, alternations: int) -> Row:
    """Measure the same federation with its files on a disk, and with all of them in memory."""
    seconds: dict[str, list[float]] = {"disk": [], "memory": []}
    with (
        _disk_in_memory(directory / "memory") as memory,
        federation(OURS, NODES, directory) as on_disk,
        federation(OURS, NODES, memory) as in_memory,
    ):
        for _ in range(alternations):
            for name, here in (("disk", on_disk), ("memory", in_memory)):
                seconds[name] += run(here, OURS, rounds=5, megabytes=1.0).rounds
    return Row(
        "seconds per round with a durable store, against the same in memory (model of 1 MB)",
        median(seconds["disk"]),
        median(seconds["memory"]),
        1.05,
        "s",
    )


@contextmanager
def _disk_in_memory(path: Path) -> Iterator[Path]:
    """Mount a disk in memory in the block: `/dev/shm` is another one for each run."""
    path.mkdir(mode=0o711)
    mount = ["mount", "-t", "tmpfs", "-o", "mode=0711", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise FederationError("Mounting a disk in memory, to compare with, needs root.")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _per_minute(what: str, seconds: dict[str, list[float]]) -> Row:
    ours, stock = (60 / median(seconds[each.name]) for each in (OURS, STOCK))
    each = f"{ours:.1f} against {stock:.1f} rounds per minute"
    return compare(f"seconds per round, {what} ({each})", seconds, None)


def compare(
    name: str, figures: dict[str, list[float]], goal: float | None, unit: str = "s"
) -> Row:
    """Return the row of the medians of both contestants' figures."""
    return Row(name, median(figures[OURS.name]), median(figures[STOCK.name]), goal, unit)
