"""A state that flower-supernode loses in silence: more than 150 MB.

Every round commits all of it and loads all of it, and the app fails if a bit is not as the round
before left it. Nothing is sent again here: a heartbeat that lapsed would be an error in the run.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Self

import pytest

from fedstate.flower.clients import PATIENCE_SECONDS
from fedstate.flower.nodestate import CACHE_BYTES
from fedstate.local.federation import LocalNode
from fedstate.store.clock import since_boot

from .conftest import Killable

# A gigabyte: make test-long.
MEGABYTES = int(os.environ.get("FEDSTATE_STATE_MEGABYTES", "200"))
ROUNDS = 3
SECONDS = 100 + MEGABYTES

# The state once, what Python needs to hold it, the cache of Contexts, and the program itself.
BOUND_MEGABYTES = 1.25 * MEGABYTES + CACHE_BYTES / 2**20 + 200


def peak(node: LocalNode) -> float:
    """Return the largest resident memory that a node's SuperNode ever had, in megabytes."""
    for line in Path(f"/proc/{node.supernode.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


class Heart:
    """Looks at how old the last answered heartbeat of a node becomes."""

    def __init__(self, node: LocalNode) -> None:
        (self._session,) = node.directory.glob("flwr/fedstate/nodes/*/session")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.oldest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            alive_at = json.loads(self._session.read_text())["alive_at"]
            self.oldest = max(self.oldest, since_boot() - alive_at)


@pytest.mark.timeout(2 * SECONDS)
def test_a_large_state_is_committed_and_loaded_in_every_round(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    with Heart(node) as heart:
        started = time.monotonic()
        killable.wait(killable.submit(ballast=MEGABYTES, rounds=ROUNDS), seconds=SECONDS)
        seconds = time.monotonic() - started
    print(  # noqa: T201
        f"{MEGABYTES} MB, {ROUNDS} rounds: {seconds:.0f} s, SuperNode at most "
        f"{peak(node):.0f} MB, heartbeat at most {heart.oldest:.1f} s old"
    )
    assert peak(node) < BOUND_MEGABYTES
    assert heart.oldest < PATIENCE_SECONDS
