"""A large model, which is the state of each node as well, through every process: how much memory.

Each step trains all of the model and keeps it, and one SuperNode is killed in the middle; the run
comes to what an undisturbed one does, to the bit.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Self

import pytest

from fedstate.flower.nodestate import CACHE_BYTES
from fedstate.flower.waiting_objects import KEPT_BYTES
from fedstate.local.process import Process
from tests.open_directory import new_directory

from .conftest import Killable

# A gigabyte: make test-long.
MEGABYTES = int(os.environ.get("FEDSTATE_STATE_MEGABYTES", "48"))
VALUES = MEGABYTES * 2**20 // 8
ROUNDS = 3
SECONDS = 150 + 2 * MEGABYTES

# By how much a process may grow: in sizes of the model, and what a process takes beside what is
# large, in MiB: pieces of some megabytes on their way, and memory that was freed and not given
# back; in a SuperNode what it keeps in memory up to a bound, and the imports of its first step.
BOUNDS = {
    # The model, what is averaged, and one reply; answers of 32 MiB on their way.
    "serverapp": (3.0, 400),
    "superlink": (0.5 * 2, 120),  # of each message in flight, one for each node
    "supernode": (1.25, (CACHE_BYTES + KEPT_BYTES) / 2**20 + 300),
}


class Peaks:
    """Looks at how much memory processes have that cannot be taken from them: not page cache."""

    def __init__(self, *processes: Process) -> None:
        self._processes = processes
        self._idle = {each.name: _anonymous(each) for each in processes}
        self._highest = dict(self._idle)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def grown(self, *processes: Process) -> float:
        """Return by how many MiB the one of these processes grew that grew most."""
        return max(self._highest[each.name] - self._idle[each.name] for each in processes)

    def _watch(self) -> None:
        while not self._stopped.wait(0.01):
            for each in self._processes:
                self._highest[each.name] = max(self._highest[each.name], _anonymous(each))


def _anonymous(process: Process) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:  # it was killed
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


@pytest.fixture(scope="module")
def grown(killable: Killable) -> dict[str, float]:
    """Run with a large model, and return by how many MiB each kind of process has grown."""
    federation = killable.federation
    node, other = federation.nodes
    # What a process imports for its first run is no part of what a model takes.
    killable.wait(killable.submit(rounds=1))
    memory = new_directory() / "memory.json"
    with Peaks(federation.superlink, node.supernode, other.supernode) as peaks:
        run, go = killable.submit_pausing(2, rounds=ROUNDS, values=VALUES, memory=str(memory))
        killable.wait_for_pause(go, seconds=SECONDS)
        node.supernode.kill()
        node.supernode.start()
        federation.wait_until_connected()
        go.touch()
        killable.wait(run, seconds=SECONDS)
    serverapp = json.loads(memory.read_text())
    grown = {
        "serverapp": (serverapp["peak"] - serverapp["before"]) / 2**20,
        "superlink": peaks.grown(federation.superlink),
        "supernode": peaks.grown(node.supernode, other.supernode),
    }
    for each in federation.nodes:  # the tests that share them begin with little memory, too
        each.supernode.stop()
        each.supernode.start()
    federation.wait_until_connected()
    print(f"model of {MEGABYTES} MB: {grown}", file=sys.stderr)  # noqa: T201
    return grown


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize(
    "process",
    ["serverapp", "supernode", "superlink"],
)
def test_no_process_has_more_of_a_large_model_than_is_said(
    grown: dict[str, float], process: str
) -> None:
    sizes, beside = BOUNDS[process]
    assert grown[process] < sizes * MEGABYTES + beside
