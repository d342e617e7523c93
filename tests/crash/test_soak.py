"""Many short rounds over many runs: neither memory nor the store grows with the runs behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedstate.local.federation import LocalNode
from tests.waiting import wait_until

from .conftest import Killable, runs_in

# The whole soak is 30 runs of 10 rounds: make test-long.
RUNS = int(os.environ.get("FEDSTATE_SOAK_RUNS", "2"))
ROUNDS = 10 if RUNS > 2 else 4
AT_ONCE = 2
MEGABYTES = 2

# Two Contexts at once, their replies, and what Python keeps of them.
GROWN_MEGABYTES = 150
STORE_MEGABYTES = 8


def memory(node: LocalNode) -> float:
    """Return the resident memory of a node's SuperNode in megabytes."""
    for line in Path(f"/proc/{node.supernode.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def check(directory: Path) -> dict[str, int]:
    fedstate = Path(sys.executable).parent / "fedstate"
    checked = subprocess.run(
        [fedstate, "state", "check", "--state", directory, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    report: dict[str, int] = json.loads(checked.stdout)
    return report


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long")
def test_memory_and_store_stay_within_their_bounds(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    node.supernode.stop()
    node.supernode.command += ["--retain", "1s"]
    killable.start(node)
    killable.federation.wait_until_connected()
    killable.wait(killable.submit(ballast=MEGABYTES))
    before = memory(node)
    for _ in range(RUNS // AT_ONCE):
        runs = [killable.submit(rounds=ROUNDS, ballast=MEGABYTES) for _ in range(AT_ONCE)]
        killable.wait(*runs)
    assert memory(node) - before < GROWN_MEGABYTES
    # Ended runs are noticed within half a minute, and their space is given back.
    (database,) = node.directory.glob("flwr/fedstate/nodes/*/node.db")
    wait_until(lambda: runs_in(database) == 0, 90, "the retention")
    wait_until(lambda: database.stat().st_size < STORE_MEGABYTES * 2**20, 90, "the space")
    checked = check(database.parent)
    assert checked["runs"] == 0
    assert checked["size_bytes"] < STORE_MEGABYTES * 2**20
    del node.supernode.command[-2:]
