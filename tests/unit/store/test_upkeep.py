"""A store from before content had files of its own: it is the same, and moves once."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from tests.data import make_schema_6 as old
from tests.small_disk import fill, small_disk

from fedstate.failpoints import VARIABLE
from fedstate.store import chunks
from fedstate.store.backup import restore
from fedstate.store.check import check
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import PlainCipher
from fedstate.store.content import ContentDirectory
from fedstate.store.node_store import NodeStore
from fedstate.store.read_only import read_only
from fedstate.store.rewrite import encrypt
from fedstate.store.schema import MIGRATIONS

MOVE_ONE_BY_ONE = """
import sys
from pathlib import Path
from fedstate.store import upkeep
from fedstate.store.node_store import NodeStore
upkeep._MOVED_AT_ONCE = 1
NodeStore(Path(sys.argv[1]), key=bytes.fromhex(sys.argv[2]) or None).close()
"""


def extracted(name: str, place: Path) -> Path:
    with zipfile.ZipFile(old.ARCHIVE) as archive:
        archive.extractall(place, [each for each in archive.namelist() if each.startswith(name)])
    return place / name


def large_rows(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "node.db")) as database:
        return len(Chunks(database, PlainCipher()).large_rows())


def assert_the_same(store: NodeStore, key: bytes | None) -> None:
    assert {number: store.context(number) for number in (1, 2)} == old.contexts(key)
    numbers = [each.number for each in store.kept_states(1)]
    assert [store.kept_context(1, each)[1] for each in numbers] == old.kept(key)
    assert store.message("pending") == b"pending"
    assert store.owner == "SHA256:node"
    assert [run.finished_at is None for run in store.runs()] == [False, True]


@pytest.mark.parametrize("name", old.STORES)
def test_an_old_store_is_the_same_and_moves_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, key = extracted(name, tmp_path), old.STORES[name]
    if key is not None:  # its values are small, since what is encrypted cannot be compressed
        monkeypatch.setattr(chunks, "VALUE_BYTES", 10_000)
    assert large_rows(directory) > 0
    before = (directory / "node.db").stat().st_size
    with closing(NodeStore(directory, key=key)) as store:
        assert_the_same(store, key)
    assert large_rows(directory) == 0
    files = ContentDirectory(directory).files()
    assert len(files) == 1
    if key is None:  # else it is one chunk, and the schema takes more
        assert (directory / "node.db").stat().st_size < before // 2
    report = check(directory, key)
    assert (report.problems, report.strays, report.schema) == ([], [], len(MIGRATIONS))
    # Nothing is written again.
    with closing(NodeStore(directory, key=key)) as store:
        assert_the_same(store, key)
    assert ContentDirectory(directory).files().keys() == files.keys()


@pytest.mark.parametrize("name", ["plain", "killed"])
def test_an_old_store_is_checked_where_it_is(name: str, tmp_path: Path) -> None:
    directory = extracted(name, tmp_path)
    before = {each.name: each.read_bytes() for each in directory.iterdir()}
    assert check(directory).problems == []
    assert {each.name: each.read_bytes() for each in directory.iterdir()} == before


def test_an_old_backup_is_restored(tmp_path: Path) -> None:
    backup = extracted("backup", tmp_path)
    assert check(backup).problems == []
    restore(backup, tmp_path / "state")
    with closing(NodeStore(tmp_path / "state")) as store:
        assert_the_same(store, None)
    with read_only(tmp_path / "state") as reading:
        assert reading.kept_context(1)[1] == old.contexts(None)[1]


def test_an_old_store_is_encrypted(tmp_path: Path) -> None:
    directory = extracted("plain", tmp_path)
    encrypt(directory, old.KEY)
    with closing(NodeStore(directory, key=old.KEY)) as store:
        assert_the_same(store, None)
    for file in ContentDirectory(directory).path.iterdir():
        assert b"of state" not in file.read_bytes()


@pytest.mark.parametrize("point", ["content-written", "content-synced", "content-committed"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_move_that_was_killed_goes_on(tmp_path: Path, point: str, count: int) -> None:
    directory = extracted("plain", tmp_path)
    before = large_rows(directory)
    moving = subprocess.run(
        [sys.executable, "-c", MOVE_ONE_BY_ONE, str(directory), ""],
        env={**os.environ, VARIABLE: f"{point}=kill:{count}"},
        check=False,
    )
    assert moving.returncode == -signal.SIGKILL
    done = count if point == "content-committed" else count - 1
    assert large_rows(directory) == before - done, "some are moved and some are not"
    assert check(directory).problems == []
    with closing(NodeStore(directory)) as store:
        assert_the_same(store, None)
    assert large_rows(directory) == 0
    assert check(directory).strays == []
    assert len(ContentDirectory(directory).files()) == done + 1


def test_without_room_an_old_store_works_as_it_is_and_moves_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = extracted("plain", tmp_path)
    with small_disk(tmp_path / "disk", "size=40m") as disk:
        state = Path(shutil.copytree(directory, disk / "state"))
        fill(disk / "filler")
        with (disk / "filler").open("rb+") as filler:
            filler.truncate((disk / "filler").stat().st_size - 4 * 2**20)
        with closing(NodeStore(state)) as store:
            assert_the_same(store, None)
            assert "stays in its database until the next start" in caplog.text
            assert ContentDirectory(state).files() == {}
        (disk / "filler").unlink()
        with closing(NodeStore(state)) as store:
            assert_the_same(store, None)
        assert large_rows(state) == 0
        assert check(state).problems == []
