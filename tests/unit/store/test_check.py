"""The check of a store: what it counts, and that it finds every damage, not the first alone."""

import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.data import make_schema_6

from fedstate.store.backup import back_up
from fedstate.store.check import check
from fedstate.store.content import ContentDirectory, first_page, name_of
from fedstate.store.errors import StoreDamagedError, StoreError, StoreKeyError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.schema import MIGRATIONS
from fedstate.store.values import Value

KEY = bytes(32)
# The second one is in a file of its own.
SIZES = {1: 5000, 2: 2**20 - 500}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(NodeStore(tmp_path / "state")) as store:
        store.bind("SHA256:node")
        for number in (1, 2):
            run = StoredRun(run_id=number, series_id=number, fab_hash="fab", finished_at=None)
            blob = bytes([number]) * SIZES[number]
            store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"context" * 100, [blob]))
        store.note_unknown(2)
    return tmp_path / "state"


def test_a_sound_store_is_described(directory: Path) -> None:
    report = check(directory)
    assert (report.schema, report.node, report.generation) == (
        len(MIGRATIONS),
        "SHA256:node",
        2,
    )
    assert (report.runs, report.contexts, report.chunks) == (2, 2, 2)
    assert report.unknown_runs == ["2"]
    assert report.size == (directory / "node.db").stat().st_size + SIZES[2]
    assert (report.problems, report.strays) == ([], [])


def test_what_is_beside_the_content_is_named(directory: Path) -> None:
    content = ContentDirectory(directory)
    content.file(1).write_bytes(b"left by a kill")
    (content.path / "notes.txt").write_text("of the operator")
    report = check(directory)
    assert report.problems == []
    assert report.strays == [name_of(1), "notes.txt"]


def test_everything_that_is_damaged_is_named(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        connection.execute("UPDATE run SET finished_at = 1.0 WHERE run_id = '1'")
        connection.execute("UPDATE chunk SET data = x'00' WHERE chunk_id = 1")
        connection.execute("DELETE FROM fab")
    problems = check(directory).problems
    assert "the row '1' of table 'run' does not have its checksum" in problems
    assert any("a chunk of value" in each for each in problems)
    assert any("refers to something that is missing" in each for each in problems)


def test_a_store_that_goes_on_meanwhile_is_checked(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)):
        assert check(tmp_path).problems == []


def test_an_older_copy_is_named(directory: Path) -> None:
    older = (directory / "node.db").read_bytes()
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"newer"))
    (directory / "node.db").write_bytes(older)
    (problem,) = check(directory).problems
    assert "is an older copy, it ends at commit 2 and this directory has seen commit 3" in problem


def lone(directory: Path) -> None:
    (directory / "node.mark").unlink()


def of_another_store(directory: Path) -> None:
    (directory / "node.mark").write_text('{"store": "another", "generation": 1}')


def older(directory: Path) -> None:
    content = (directory / "node.db").read_bytes()
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"newer"))
    (directory / "node.db").write_bytes(content)


def without_its_database(directory: Path) -> None:
    (directory / "node.db").unlink()


def empty(directory: Path) -> None:
    (directory / "node.db").write_bytes(b"")


def cut_off(directory: Path) -> None:
    content = (directory / "node.db").read_bytes()
    (directory / "node.db").write_bytes(content[: len(content) // 2])


def no_database(directory: Path) -> None:
    (directory / "node.db").write_bytes(b"text" * 10_000)


def of_another_program(directory: Path) -> None:
    (directory / "node.db").unlink()
    (directory / "node.mark").unlink()
    with closing(sqlite3.connect(directory / "node.db")) as connection:
        connection.execute("CREATE TABLE theirs (value)")


def newer_schema(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        connection.execute("INSERT INTO migration VALUES (99, 'from the future')")


def older_schema(directory: Path) -> None:
    shutil.rmtree(directory)
    with zipfile.ZipFile(make_schema_6.ARCHIVE) as archive:
        names = [each for each in archive.namelist() if each.startswith("plain/")]
        archive.extractall(directory.parent, names)
    (directory.parent / "plain").rename(directory)


def file_of(directory: Path) -> Path:
    (file,) = (directory / "node.content").iterdir()
    return file


def content_missing(directory: Path) -> None:
    file_of(directory).unlink()


def content_cut_off(directory: Path) -> None:
    os.truncate(file_of(directory), SIZES[2] // 2)


def content_flipped(directory: Path) -> None:
    file = file_of(directory)
    content = bytearray(file.read_bytes())
    content[SIZES[2] // 2] ^= 1
    file.write_bytes(content)


def content_of_another(directory: Path) -> None:
    file = file_of(directory)
    file.write_bytes(first_page(1) + file.read_bytes()[len(first_page(1)) :])


def content_older(directory: Path) -> None:
    """Put the whole directory of content as it was before the last commits."""
    older = shutil.copytree(directory / "node.content", directory.parent / "older")
    with closing(NodeStore(directory)) as store:
        store.set_context(2, 2, Value(b"newer" * 200, [b"n" * SIZES[2]]))
        store.maintain()
    shutil.rmtree(directory / "node.content")
    Path(older).rename(directory / "node.content")


def content_too_many(directory: Path) -> None:
    file = file_of(directory)
    shutil.copy(file, file.with_name(name_of(1)))
    shutil.copy(file, file.with_name("copy of a file"))


def wrong_mark(directory: Path) -> None:
    (directory / "node.mark").write_text("nonsense")


def altered_row(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        connection.execute("UPDATE run SET finished_at = 1.0 WHERE run_id = '1'")


def sound(_: Path) -> None:
    pass


def after_a_kill(directory: Path) -> None:
    """Leave a log beside the database."""
    with closing(NodeStore(directory)) as store:
        store.set_context(1, 1, Value(b"newer"))
        copy = directory.parent / "copy"
        shutil.copytree(directory, copy)
    shutil.rmtree(directory)
    copy.rename(directory)


@pytest.mark.parametrize(
    "damage",
    [
        *(lone, of_another_store, older, without_its_database, empty, cut_off, no_database),
        *(of_another_program, newer_schema, older_schema, wrong_mark, altered_row),
        *(content_missing, content_cut_off, content_flipped, content_of_another, content_older),
        *(content_too_many, sound, after_a_kill),
    ],
)
@pytest.mark.parametrize("key", [None, KEY])
def test_the_verdict_is_that_of_a_supernode_and_nothing_is_changed(
    directory: Path, damage: Callable[[Path], None], key: bytes | None
) -> None:
    damage(directory)
    before = content_of(directory)
    problems = []
    try:
        problems = check(directory, key).problems
    except StoreError as error:
        problems = [str(error)]
    assert content_of(directory) == before
    opened = ""
    try:
        NodeStore(directory, key=key).close()
    except StoreError as error:
        opened = str(error)
    assert bool(problems) == bool(opened), opened
    assert not problems or problems[0] in opened


def content_of(directory: Path) -> dict[str, bytes]:
    # Readers note in the index of the log what they read.
    files = (each for each in directory.rglob("*") if each.name != "node.db-shm")
    return {str(each): each.read_bytes() for each in files if each.is_file()}


def test_a_backup_is_checked_as_its_store_is(directory: Path, tmp_path: Path) -> None:
    back_up(directory, tmp_path / "backup")
    assert check(tmp_path / "backup").problems == []
    assert check(tmp_path / "backup").runs == 2
    content = bytearray((tmp_path / "backup").read_bytes())
    content[-1] ^= 1
    (tmp_path / "backup").write_bytes(content)
    with pytest.raises(StoreDamagedError, match="does not have its checksum"):
        check(tmp_path / "backup")


def test_what_cannot_be_checked_is_refused(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(StoreError, match=r"no node store in .*, and it is no backup"):
        check(tmp_path / "nowhere")
    with pytest.raises(StoreKeyError, match="not encrypted"):
        check(directory, KEY)
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        connection.execute("INSERT INTO migration VALUES (99, 'from the future')")
    with pytest.raises(StoreError, match="has schema 99"):
        check(directory)
