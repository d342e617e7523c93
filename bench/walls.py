"""What the walls around a run cost each of its messages."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.federations import OURS, Contestant, federation, run
from bench.row import Row
from fedstate.local.execute import execute
from fedstate.local.federation import Federation
from fedstate.local.programs import Programs

GOAL_SECONDS = 0.010
# One node: a round is then one message.
NODES = 1
# What is less than that is noise.
_LEAST_SECONDS = 1e-4


def rows() -> Iterator[Row]:
    """Measure, and yield each row as soon as it stands; environment `QUICK=1` measures less."""
    alternations, rounds = (2, 6) if os.environ.get("QUICK") else (8, 20)
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        directory = Path(temporary)
        within, without = _with_walls("require"), _with_walls("none")
        with (
            federation(within, NODES, directory, execute) as enclosed,
            federation(without, NODES, directory, execute) as free,
        ):
            yield _per_message((within, enclosed), (without, free), alternations, rounds)


def _with_walls(value: str) -> Contestant:
    """Return ours, with this value of the executors' option ``--walls``."""
    serverapps, clientapps = (
        (*executor, "--walls", value)
        for executor in (OURS.programs.serverapp_executor, OURS.programs.clientapp_executor)
    )
    programs = Programs(serverapp_executor=serverapps, clientapp_executor=clientapps)
    return replace(OURS, name=f"walls-{value}", programs=programs)


def _per_message(
    within: tuple[Contestant, Federation],
    without: tuple[Contestant, Federation],
    alternations: int,
    rounds: int,
) -> Row:
    """Measure a message of a Keras app behind all walls of this machine, and one without any."""
    seconds: dict[str, list[float]] = {}
    for _ in range(alternations):
        for contestant, here in (within, without):
            # Before the first message of a run its room is made, which is paid once.
            done = run(here, contestant, rounds=rounds + 1).rounds[1:]
            seconds.setdefault(contestant.name, []).extend(done)
    behind, free = (median(seconds[contestant.name]) for contestant, _ in (within, without))
    return Row(
        f"what walls cost a message ({behind:.3f} s against {free:.3f} s), against 10 ms",
        max(behind - free, _LEAST_SECONDS),
        GOAL_SECONDS,
        1.0,
        "s",
    )
