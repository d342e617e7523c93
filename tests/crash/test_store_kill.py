"""SIGKILL at every point of a store's life: what was committed is there, nothing else is.

The child commits steps whose state and reply both carry the step's number, and prints a number
only after its commit has returned. After the kill the store must hold the state of the last
printed number, or of the one after it with its reply: never less, never a mixture.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fedstate.failpoints import VARIABLE
from fedstate.store.content import ContentDirectory
from fedstate.store.node_store import NodeStore
from fedstate.witness.record import ROLLED_BACK

CHILD = """
import sys
from pathlib import Path
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import Retention
from fedstate.store.values import Value
store = NodeStore(Path(sys.argv[1]))
def add(number):
    run = StoredRun(run_id=number, series_id=number, fab_hash="fab", finished_at=None)
    store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"0"))
if not store.runs():
    add(1)
last = int(store.context(1).header)
print(last, flush=True)
for number in range(last + 1, 1000):
    text = str(number).encode()
    store.receive(f"m{number}", 1, Value(b"message"))
    layers = [text * 1_100_000, text * 2000]
    store.commit(f"m{number}", 1, Value(text, layers), Value(text, layers[1:]))
    print(number, flush=True)
    store.answered(f"m{number}")
    store.maintain()
    if number % 5 == 0:
        add(number * 1000)
        store.finish_run(number * 1000)
        Retention(seconds=0).apply(store)
"""


def run_child(directory: Path, failpoints: str = "", seconds: float | None = None) -> int:
    """Run the child until it is killed; return the last number that it printed, or 0."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory)],
        env={**os.environ, VARIABLE: failpoints},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    if seconds is not None:
        child.stdout.readline()
        time.sleep(seconds)
        child.kill()
    output = child.stdout.read()
    assert child.wait() == -signal.SIGKILL, output
    return int(output.split()[-1]) if output.strip() else 0


def committed_number(directory: Path) -> int:
    """Open the store, which checks it, and return the number that state and reply agree on."""
    with closing(NodeStore(directory)) as store:
        context = store.context(1)
        if context is None:
            assert store.runs() == []
            return 0
        number = int(context.header)
        text = str(number).encode()
        if number:
            assert list(context.blobs) == [text * 1_100_000, text * 2000]
            reply = store.reply(f"m{number}")
            assert reply is not None
            assert list(reply.blobs) == [text * 2000]
        assert store.reply(f"m{number + 1}") is None
        # What the kill has left is gone, and what is named is there.
        named = {file_id for (file_id,) in store._db.execute("SELECT file_id FROM content_file")}
        assert ContentDirectory(directory).files().keys() == named
        return number


@pytest.mark.parametrize(
    ("failpoint", "later"),
    [
        ("migration=kill:1", {0}),
        ("migration=kill:2", {0}),
        ("migration=kill:5", {0}),
        ("store-write=kill:1", {0}),  # the run is being added
        ("store-write=kill:3", {0}),  # the first step is being committed
        ("store-write=kill:8", {0, 1}),
        ("retention=kill:1", {0}),
        ("content-written=kill:1", {0}),
        ("content-written=kill:3", {0}),
        ("content-synced=kill:1", {0}),
        ("content-synced=kill:3", {0}),
        ("content-committed=kill:1", {0, 1}),
        ("content-committed=kill:3", {0, 1}),
        ("content-gone=kill:1", {0}),
        ("content-gone=kill:4", {0}),
    ],
)
def test_a_kill_at_a_named_point_loses_nothing_and_adds_nothing(
    tmp_path: Path, failpoint: str, later: set[int]
) -> None:
    printed = run_child(tmp_path, failpoint)
    assert committed_number(tmp_path) - printed in later
    # The store goes on from there.
    again = run_child(tmp_path, "store-write=kill:12")
    assert again >= printed
    assert committed_number(tmp_path) - again in {0, 1}


def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    moments = np.random.default_rng(5)
    printed = 0
    for _ in range(10):
        printed = max(printed, run_child(tmp_path, seconds=moments.uniform(0.0, 0.15)))
        number = committed_number(tmp_path)
        assert number - printed in {0, 1}
        printed = number
    assert printed > 5


KEEPING = """
import sys
from pathlib import Path
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
store = NodeStore(Path(sys.argv[1]))
store.keep = 3
def state(number):
    text = str(number).encode()
    return Value(text, [text * 1_100_000, b"same" * 30000], text)
if not store.runs():
    store.add_run(StoredRun(1, 1, "fab", None), Value(b""), Value(b"fab"), state(0))
for number in range(1, 1000):
    name = f"m{store.generation}"
    store.receive(name, 1, Value(b"message"))
    store.commit(name, 1, state(number), Value(b"reply"), Attempt(9))
    store.answered(name)
    store.maintain()
    if number % 3 == 0:
        store.roll_back(1, store.kept_states(1)[-2].number, bytes)
    if number % 8 == 0:
        store.finish_run(1)
        store.free_run(1)
        store.add_run(StoredRun(1, 1, "fab", None), Value(b""), Value(b"fab"), state(0))
"""


@pytest.mark.parametrize(
    "failpoint",
    [
        "store-write=kill:1",  # the run is being added
        "store-write=kill:6",
        "store-write=kill:23",
        "rollback=kill:1",
        "rollback=kill:2",
        "retention=kill:1",
        "content-written=kill:9",
        "content-synced=kill:9",
        "content-committed=kill:9",
        "content-gone=kill:9",
    ],
)
def test_former_states_are_whole_after_a_kill(tmp_path: Path, failpoint: str) -> None:
    """Each state that the log's last rows have stored is there, under its number, or none is."""
    environment = {**os.environ, VARIABLE: failpoint}
    command = [sys.executable, "-c", KEEPING, str(tmp_path)]
    child = subprocess.run(command, env=environment, check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL
    with closing(NodeStore(tmp_path)) as store:
        if not store.runs():
            assert store.kept_states(1) == []
            return
        kept = store.kept_states(1)
        contents = [store.kept_context(1, each.number)[1] for each in kept]
        for value in contents:
            text = bytes(value.header)
            assert list(value.blobs) == [text * 1_100_000, b"same" * 30000]
        rows = [row.record for row in store.rows_after(0, [1], 1000) if row.record.stores]
        # A rollback lets go of nothing, and the next step of more than one.
        last = rows[-len(kept) :]
        began = [] if len(last) == len(kept) else [kept[0].number]
        assert [each.number for each in kept] == began + [row.run_sequence for row in last]
        assert [each.digest for each in kept[len(began) :]] == [row.stored for row in last]
        assert len(kept) >= min(3, len(rows) + 1)
        assert [each.current for each in kept].index(True) == len(kept) - 1
        for row, value in zip(reversed(last), reversed(contents), strict=False):
            if row.outcome == ROLLED_BACK and row.source_number in [each.number for each in kept]:
                assert store.kept_context(1, row.source_number)[1] == value
