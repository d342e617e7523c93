"""Stores that are encrypted and decrypted: whole, and without a trace of before."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.small_disk import fill, small_disk
from tests.unit.store.logged import add_run, commit, fail

from fedstate.failpoints import VARIABLE
from fedstate.store.check import check
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import PlainCipher
from fedstate.store.clock import present
from fedstate.store.errors import (
    StoreDamagedError,
    StoreError,
    StoreInUseError,
    StoreKeyError,
)
from fedstate.store.node_store import NodeStore
from fedstate.store.read_only import read_only
from fedstate.store.rewrite import _OTHERS, decrypt, encrypt
from fedstate.store.rows import COLUMNS
from fedstate.store.values import CHUNK_BYTES, Value

KEY, OTHER = b"k" * 32, b"o" * 32
PLAIN = b"plain text of a layer "


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A store with a row in every table."""
    with closing(NodeStore(tmp_path / "state")) as store:
        store.bind("SHA256:node")
        for run_id in (1, 2, 3):
            add_run(store, run_id)
            commit(store, run_id, 1)
            fail(store, run_id, 2, "It failed.")
        store.set_context(1, 1, Value(b"header", [PLAIN * (CHUNK_BYTES // 10), b"", b"small"]))
        # The second one becomes a difference from the third, and the third is to be looked at.
        store.keep = 3
        layer = bytearray(PLAIN * 1000)
        for number in (3, 4, 5):
            layer[number * 100] ^= 1
            commit(store, 2, number, bytes(layer))
            if number == 4:
                store.maintain()
        store.note_unknown(2)
        store.finish_run(3)
        store.receive("waiting", 1, Value(b"message"))
        store.retained_seconds(present())
    return tmp_path / "state"


def everything(directory: Path, key: bytes | None) -> object:
    with closing(NodeStore(directory, key=key)) as store:
        store.maintain()
        runs = store.runs()
        return (
            *(store.store_id, store.owner, store.generation, runs, store.unknown_runs()),
            [store.context(run.series_id) for run in runs],
            [store.run_record(run.run_id) for run in runs],
            [store.fab(run.fab_hash) for run in runs],
            [store.steps(status) for status in ("received", "committed", "answered")],
            (store.message("waiting"), store.chains(), store.rows_after(0, [], 100)),
            [store.kept_context(2, state.number) for state in store.kept_states(2)],
        )


def whole(directory: Path) -> bytes:
    """Return what is in all files of a store."""
    return b"".join(each.read_bytes() for each in directory.rglob("*") if each.is_file())


def test_a_store_is_encrypted_and_decrypted_and_holds_the_same(directory: Path) -> None:
    before = everything(directory, None)
    assert PLAIN in whole(directory)
    assert b"It failed." in whole(directory)
    written = encrypt(directory, KEY)
    assert PLAIN not in whole(directory)
    assert b"It failed." not in whole(directory)
    assert everything(directory, KEY) == before
    assert check(directory, KEY).problems == []
    with closing(sqlite3.connect(directory / "node.db")) as database:
        settings = ("page_size", "auto_vacuum", "journal_mode")
        found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in settings]
    assert found == [4096, 2, "wal"]
    assert written.generation == check(directory, KEY).generation
    assert (directory / "node.db").stat().st_mode & 0o777 == 0o600
    decrypt(directory, KEY)
    assert everything(directory, None) == before
    names = ["node.content", "node.db", "node.mark"]
    assert sorted(each.name for each in directory.iterdir()) == names
    assert len(list((directory / "node.content").iterdir())) == 1


def test_a_number_of_a_value_that_is_gone_is_not_given_again(directory: Path) -> None:
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"newest"))
        store.set_context(1, 1, Value(b"newest of all"))
    encrypt(directory, KEY)
    with closing(sqlite3.connect(directory / "node.db")) as database:
        (last,) = database.execute("SELECT seq FROM sqlite_sequence").fetchone()
        (highest,) = database.execute("SELECT max(value_id) FROM value").fetchone()
    assert last >= highest
    with closing(NodeStore(directory, key=KEY)) as store:
        store.set_context(1, 1, Value(b"after"))
        assert store.context(1) == Value(b"after", [])


def test_every_table_has_a_way(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "node.db")) as database:
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        assert {name for (name,) in database.execute(names)} == COLUMNS.keys() | _OTHERS
        with database:
            database.execute("CREATE TABLE another (value)")
    with pytest.raises(StoreError, match="another"):
        encrypt(directory, KEY)
    everything(directory, None)


def test_what_does_not_fit_is_refused_and_nothing_changes(directory: Path) -> None:
    with pytest.raises(StoreKeyError, match="not encrypted"):
        decrypt(directory, KEY)
    encrypt(directory, KEY)
    content = everything(directory, KEY)
    with pytest.raises(StoreKeyError, match="is encrypted already"):
        encrypt(directory, OTHER)
    with pytest.raises(StoreKeyError, match="is not the key"):
        decrypt(directory, OTHER)
    with closing(NodeStore(directory, key=KEY)), pytest.raises(StoreInUseError):
        decrypt(directory, KEY)
    with pytest.raises(StoreError, match="There is no node store"):
        encrypt(directory / "nowhere", KEY)
    assert everything(directory, KEY) == content


def test_what_is_put_together_wrongly_gets_no_new_checksum(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "node.db", isolation_level=None)) as database:
        deltas = Chunks(database, PlainCipher()).deltas
        for chunk_id, base_id, size, _, made in list(deltas.everything()):
            # A difference that is whole, but of something else.
            deltas.put(chunk_id, base_id, size, made[:-1] + bytes([made[-1] ^ 1]))
    NodeStore(directory).close()
    with pytest.raises(StoreDamagedError, match=r"chunk \d+ does not have its checksum"):
        encrypt(directory, KEY)
    NodeStore(directory).close()


@pytest.mark.parametrize(
    ("failpoint", "is_new"), [("rewrite-copied", False), ("rewrite-replaced", True)]
)
@pytest.mark.parametrize("what", ["encrypt", "decrypt"])
def test_after_a_kill_the_old_store_is_there_or_the_new_one(
    directory: Path, what: str, failpoint: str, is_new: bool
) -> None:
    before = everything(directory, None)
    old, new = (None, KEY) if what == "encrypt" else (KEY, None)
    if old:
        encrypt(directory, old)
    program = (
        "import sys; from pathlib import Path; from fedstate.store import rewrite\n"
        f"rewrite.{what}(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(directory), KEY.hex()],
        env={**os.environ, VARIABLE: f"{failpoint}=kill"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert everything(directory, new if is_new else old) == before
    # What was begun and not finished has gone with the next opening: it may be plain text.
    assert not list(directory.glob("*rewriting*"))
    assert (PLAIN in whole(directory)) == ((new if is_new else old) is None)
    assert len(list((directory / "node.content").iterdir())) == 1


def test_without_room_for_a_second_copy_nothing_changes(directory: Path, tmp_path: Path) -> None:
    before = everything(directory, None)
    with small_disk(tmp_path / "disk", "size=40m") as disk:
        moved = Path(shutil.copytree(directory, disk / "state"))
        fill(disk / "filler")
        with (disk / "filler").open("rb+") as filler:
            filler.truncate((disk / "filler").stat().st_size - 2**20)
        with pytest.raises(StoreError, match="has no room for a second copy of the store"):
            encrypt(moved, KEY)
        assert everything(moved, None) == before
        assert len(list((moved / "node.content").iterdir())) == 1


def test_a_store_that_somebody_reads_is_left_alone(directory: Path) -> None:
    before = everything(directory, None)
    with read_only(directory), pytest.raises(StoreInUseError, match="Another program reads"):
        encrypt(directory, KEY)
    assert everything(directory, None) == before
    encrypt(directory, KEY)
