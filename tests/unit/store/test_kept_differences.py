"""The states that a store keeps, as differences: their bytes, their time, kills, backups."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.unit.store.logged import add_run, commit

from fedstate.failpoints import VARIABLE
from fedstate.store import keeping_store
from fedstate.store.backup import back_up, restore
from fedstate.store.check import check
from fedstate.store.node_store import NodeStore
from fedstate.store.read_only import read_only
from fedstate.store.room import Room
from fedstate.store.schema import MIGRATIONS, migrate

BYTES = 2_500_000
CHANGED = BYTES // 100


def rounds(count: int, how: str) -> Iterator[bytes]:
    """Yield a state, and what it becomes as a hundredth of it changes again and again."""
    random = np.random.default_rng(0)
    words = random.integers(0, 2**32, BYTES // 4, np.uint32)
    yield words.tobytes()
    for _ in range(count):
        if how == "scattered":
            places = random.choice(words.size, CHANGED // 4, replace=False)
        else:
            start = int(random.integers(0, words.size - CHANGED // 4))
            places = np.arange(start, start + CHANGED // 4)
        words[places] = random.integers(0, 2**32, len(places), np.uint32)
        yield words.tobytes()


def blobs(store: NodeStore) -> dict[int, list[bytes]]:
    """Return all states of run 1, but the one that it began with."""
    return {
        state.number: [bytes(blob) for blob in store.kept_context(1, state.number)[1].blobs]
        for state in store.kept_states(1)
        if state.number
    }


def differences(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "node.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM delta").fetchone()[0])


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["plain", "encrypted"])
@pytest.mark.parametrize("how", ["scattered", "in one place"])
def test_a_hundredth_of_a_layer_takes_at_most_twice_its_bytes(
    tmp_path: Path, how: str, key: bytes | None
) -> None:
    """The bound of the documentation, of one large layer; `bench/store.py` has 1,000 rounds."""
    count, sizes, states = 40, [], {}
    with closing(NodeStore(tmp_path, key=key)) as store:
        store.keep = count + 3
        add_run(store, 1)
        for number, state in enumerate(rounds(count, how), 1):
            commit(store, 1, number, state)
            states[number] = [state]
            store.maintain()
            if number in (5, count + 1):
                store.compact()
                sizes.append(store.disk_bytes)
        assert blobs(store) == states
    # What the tables take however little is in them is in both.
    assert sizes[1] - sizes[0] < 2 * (count - 4) * CHANGED
    # Checked, as at every start.
    NodeStore(tmp_path, key=key).close()
    assert check(tmp_path, key).problems == []


_KILLED = """
import sys
from pathlib import Path
from tests.unit.store.logged import commit
from tests.unit.store.test_kept_differences import rounds
from fedstate.store.node_store import NodeStore
store = NodeStore(Path(sys.argv[1]))
store.keep = 5
for number, state in enumerate(rounds(9, "scattered"), 1):
    commit(store, 1, number, state)
    store.maintain()
    if number == 6:
        store.roll_back(1, 3, lambda header: header.removeprefix(b"header"))
"""


@pytest.mark.parametrize(
    "failpoint",
    [
        *("delta-made=kill:8", "delta-rebased=kill"),
        *("content-written=kill:8", "content-synced=kill:9", "content-gone=kill:9"),
    ],
)
def test_after_a_kill_every_state_is_there(tmp_path: Path, failpoint: str) -> None:
    directory = tmp_path / "state"
    with closing(NodeStore(directory)) as store:
        add_run(store, 1)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, directory],
        env={**os.environ, VARIABLE: failpoint},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    made = list(rounds(9, "scattered"))
    assert check(directory).problems == []
    with closing(NodeStore(directory)) as store:
        there = blobs(store)
        assert len(there) >= 3
        assert all(state[0] in made for state in there.values())
        store.maintain()
        assert blobs(store) == there
    assert differences(directory) > 0


def test_a_run_goes_back_and_on_over_differences(tmp_path: Path) -> None:
    made = list(rounds(8, "scattered"))
    with closing(NodeStore(tmp_path)) as store:
        store.keep = 5
        add_run(store, 1)
        expected = {}
        for number, state in enumerate(made[:5], 1):
            commit(store, 1, number, state)
            expected[number] = [state]
            store.maintain()
        assert store.roll_back(1, 2, lambda _: b"state 2").number == 6
        store.maintain()
        expected[6] = expected[2]
        for number, state in enumerate(made[5:], 7):
            commit(store, 1, number, state)
            expected[number] = [state]
            store.maintain()
            there = blobs(store)
            assert there == {each: expected[each] for each in sorted(expected)[-len(there) :]}
        store.compact()
        store.finish_run(1)
        store.free_run(1)
        store.maintain()
    assert differences(tmp_path) == 0
    assert list((tmp_path / "node.content").iterdir()) == []
    assert check(tmp_path).problems == []


def test_a_backup_has_them_and_a_live_look_reads_them(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as store:
        store.keep = 9
        add_run(store, 1)
        for number, state in enumerate(rounds(4, "scattered"), 1):
            commit(store, 1, number, state)
        store.maintain()
        expected = blobs(store)
        back_up(tmp_path / "state", tmp_path / "backup", store.findings)
        for place in ("state", "backup"):
            with read_only(tmp_path / place) as looked:
                assert blobs(looked) == expected  # type: ignore[arg-type]
    restore(tmp_path / "backup", tmp_path / "restored")
    with closing(NodeStore(tmp_path / "restored")) as store:
        assert blobs(store) == expected
    assert differences(tmp_path / "restored") > 0


def test_states_that_an_earlier_release_has_kept_become_differences(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as store:
        store.keep = 9
        add_run(store, 1)
        for number, state in enumerate(rounds(3, "in one place"), 1):
            commit(store, 1, number, state)
        expected = blobs(store)
    with closing(sqlite3.connect(tmp_path / "node.db", isolation_level=None)) as connection:
        # As the earlier release has left it.
        for table in ("superseded", "delta_piece", "delta"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM migration WHERE version = ?", (len(MIGRATIONS),))
        migrate(connection)
    with closing(NodeStore(tmp_path)) as store:
        store.maintain()
        assert blobs(store) == expected
    assert differences(tmp_path) >= 3


def test_without_kept_states_nothing_is_noted(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as store:
        add_run(store, 1)
        for number, state in enumerate(rounds(2, "in one place"), 1):
            commit(store, 1, number, state)
        with closing(sqlite3.connect(store.path)) as connection:
            assert connection.execute("SELECT * FROM superseded").fetchall() == []
        store.maintain()
    assert differences(tmp_path) == 0


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[NodeStore]:
    """A store with former states that are whole as yet."""
    with closing(NodeStore(tmp_path)) as store:
        store.keep = 9
        add_run(store, 1)
        for number, state in enumerate(rounds(5, "scattered"), 1):
            commit(store, 1, number, state)
        yield store


def test_what_differences_replace_goes_before_more_are_made(
    waiting: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a disk with little room would fill up: each difference takes some at first."""
    seen: list[int] = []
    pack = waiting._pack

    def seeing() -> bool:
        seen.append(len(waiting._content._waiting))
        return pack()

    monkeypatch.setattr(waiting, "_pack", seeing)
    waiting.maintain()
    assert len(seen) > 1
    assert set(seen) == {0}


def test_what_is_not_done_at_once_is_done_the_next_times(
    waiting: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_store, "_PACKING_SECONDS", 0)
    made = []
    going = True
    while going:
        waiting.maintain()
        made.append(differences(waiting.directory))
        going = waiting.is_behind
    assert len(made) > 1
    assert made[-1] == 5 * 3, "all but what the present state has"


@pytest.mark.parametrize(
    ("name", "says"), [("is_short", property(lambda _: True)), ("take", lambda _: False)]
)
def test_on_a_full_disk_no_differences_are_made(
    waiting: NodeStore, monkeypatch: pytest.MonkeyPatch, name: str, says: object
) -> None:
    """What is left of it is for the ways out."""
    with monkeypatch.context() as full:
        full.setattr(Room, name, says)
        waiting.maintain()
        assert differences(waiting.directory) == 0
    waiting.maintain()
    assert differences(waiting.directory) > 0
