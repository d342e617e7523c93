"""Chunks: large ones in files, small ones in rows, each of them once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.store.test_values import CIPHERS

from fedstate.store.chunks import Chunks
from fedstate.store.cipher import Cipher
from fedstate.store.content import FILE_BYTES, PAGE_BYTES, VALUE_BYTES
from fedstate.store.content_writer import ContentWriter
from fedstate.store.errors import DamagedValueError
from fedstate.store.schema import migrate

SMALL, LARGE = b"s" * (FILE_BYTES - 100), b"l" * FILE_BYTES


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
        yield connection


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ContentWriter]:
    with closing(ContentWriter(tmp_path)) as opened:
        yield opened


@pytest.fixture(params=CIPHERS, ids=["plain", "encrypted"])
def chunks(
    request: pytest.FixtureRequest, db: sqlite3.Connection, writer: ContentWriter
) -> Chunks:
    return Chunks(db, request.param, writer.content, writer)


def stored(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter, *plain: bytes
) -> list[int]:
    db.execute("BEGIN")
    numbers = [
        chunks.write(digest_of(chunks, each), memoryview(each), VALUE_BYTES) for each in plain
    ]
    chunks.finish()
    db.execute("COMMIT")
    writer.committed(0)
    return numbers


def digest_of(chunks: Chunks, plain: bytes) -> bytes:
    cipher: Cipher = chunks._cipher
    return cipher.digest(plain)


def removed(chunks: Chunks, writer: ContentWriter, *numbers: int) -> None:
    chunks.remove(numbers)
    writer.committed(0)
    writer.sweep()


def test_large_ones_are_in_a_file_and_small_ones_in_rows(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter
) -> None:
    small, large = stored(chunks, db, writer, SMALL, LARGE)
    assert [chunks.read(each) for each in (small, large)] == [SMALL, LARGE]
    assert chunks.find(digest_of(chunks, LARGE)) == large
    assert chunks.find(digest_of(chunks, b"")) is None
    rows = dict(db.execute("SELECT chunk_id, length(data) > 0 FROM chunk"))
    assert rows == {small: 1, large: 0}
    assert len(writer.content.files()) == 1
    assert list(chunks.findings()) == []


def test_all_of_a_small_value_is_in_rows(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter
) -> None:
    number = chunks.write(digest_of(chunks, LARGE), memoryview(LARGE), VALUE_BYTES - 1)
    assert chunks.read(number) == LARGE
    assert writer.content.files() == {}
    # It would be moved if it were of a larger value as well.
    for value_id, size in ((1, VALUE_BYTES - 1), (2, VALUE_BYTES)):
        assert chunks.large_rows() == []
        db.execute("INSERT INTO value VALUES (?, x'', 1, ?, 0, x'')", (value_id, size))
        db.execute("INSERT INTO value_chunk VALUES (?, 0, 0, ?)", (value_id, number))
    assert [chunk_id for chunk_id, _ in chunks.large_rows()] == [number]


def test_a_file_goes_with_its_last_chunk(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter
) -> None:
    first, second = stored(chunks, db, writer, LARGE, LARGE + b"2")
    before = writer.content.disk_bytes
    removed(chunks, writer, first)
    assert before - writer.content.disk_bytes >= FILE_BYTES
    assert list(chunks.findings()) == []
    assert chunks.read(second) == LARGE + b"2"
    removed(chunks, writer, second)
    assert writer.content.files() == {}
    for table in ("chunk", "chunk_place", "content_file"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608


def test_a_chunk_that_a_value_has_stays(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter
) -> None:
    (number,) = stored(chunks, db, writer, LARGE)
    db.execute("INSERT INTO value (header, parts, size, seal) VALUES (x'', 1, 1, x'')")
    db.execute("INSERT INTO value_chunk VALUES (1, 0, 0, ?)", (number,))
    db.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):
        removed(chunks, writer, number)
    db.execute("ROLLBACK")
    writer.discard()
    assert chunks.read(number) == LARGE


def test_a_chunk_moves_from_its_row_to_a_file(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter
) -> None:
    in_rows = Chunks(db, chunks._cipher)
    (number,) = stored(in_rows, db, writer, LARGE)
    assert writer.content.files() == {}
    db.execute("BEGIN")
    chunks.move(number)
    chunks.finish()
    db.execute("COMMIT")
    writer.committed(0)
    assert chunks.read(number) == LARGE
    assert len(writer.content.files()) == 1
    assert list(chunks.findings()) == []


def test_damage_is_named_once_for_a_file(
    chunks: Chunks, db: sqlite3.Connection, writer: ContentWriter
) -> None:
    first, second = stored(chunks, db, writer, LARGE, LARGE + b"2")
    digest = digest_of(chunks, LARGE)
    (file,) = writer.content.path.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:PAGE_BYTES] + b"?" + content[PAGE_BYTES + 1 :])
    with pytest.raises(DamagedValueError, match="chunk of a test does not have its checksum"):
        chunks.checked(first, digest, "chunk of a test")
    file.unlink()
    for number in (first, second):
        with pytest.raises(DamagedValueError, match="is missing"):
            chunks.checked(number, digest, "a chunk")
    assert list(chunks.findings()) == [f"the file 'node.content/{file.name}' is missing"]
    with pytest.raises(DamagedValueError, match="chunk of a test is missing"):
        chunks.checked(99, digest, "chunk of a test")
