"""Values: stored by content, read with every checksum."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedstate.store import digests
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import AesGcmCipher, Cipher, PlainCipher
from fedstate.store.digests import digesting
from fedstate.store.errors import DamagedValueError
from fedstate.store.schema import migrate
from fedstate.store.values import Value, ValueTable

CIPHERS: list[Cipher] = [PlainCipher(), AesGcmCipher(b"1" * 32)]
CHUNK = 64


@pytest.fixture
def db(monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    monkeypatch.setattr(digests, "CHUNK_BYTES", CHUNK)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
        yield connection


def put(db: sqlite3.Connection, cipher: Cipher, value: Value) -> int:
    with digesting(cipher, value) as (digested,):
        return ValueTable(db, cipher).put(digested)


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM chunk").fetchone()[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(header=st.binary(max_size=200), blobs=st.lists(st.binary(max_size=4 * CHUNK), max_size=4))
@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "encrypted"])
def test_a_value_comes_back_as_it_was(
    db: sqlite3.Connection, cipher: Cipher, header: bytes, blobs: list[bytes]
) -> None:
    values = ValueTable(db, cipher)
    value_id = put(db, cipher, Value(header, blobs))
    assert list(values.findings()) == []
    assert values.header(value_id) == header
    assert [bytes(blob) for blob in values.get(value_id).blobs] == blobs


def test_the_bytes_of_views_are_stored(db: sqlite3.Connection) -> None:
    view = memoryview(bytearray(range(200))).cast("I")
    value_id = put(db, CIPHERS[0], Value(b"", [view]))
    (blob,) = ValueTable(db, CIPHERS[0]).get(value_id).blobs
    assert bytes(blob) == bytes(view)


def test_a_chunk_that_is_there_is_not_written_again(db: sqlite3.Connection) -> None:
    written: list[int] = []
    cipher = CIPHERS[0]
    values = ValueTable(db, cipher, Chunks(db, cipher, written=written.append))
    blob = bytes(range(2 * CHUNK))
    for _ in range(2):
        with digesting(CIPHERS[0], Value(b"", [blob, blob])) as (digested,):
            values.put(digested)
    assert written == [CHUNK, CHUNK]
    assert count(db) == 2


def test_only_what_nobody_else_uses_goes_with_a_value(db: sqlite3.Connection) -> None:
    values = ValueTable(db, CIPHERS[0])
    first = put(db, CIPHERS[0], Value(b"", [b"a" * CHUNK + b"b" * CHUNK]))
    second = put(db, CIPHERS[0], Value(b"", [b"b" * CHUNK]))
    assert values.collect() == 0
    values.release(first)
    assert values.collect() == 1
    assert count(db) == 1
    assert [bytes(blob) for blob in values.get(second).blobs] == [b"b" * CHUNK]
    with pytest.raises(DamagedValueError, match=f"value {first} is missing"):
        values.get(first)


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE value SET header = x'00'",
        "UPDATE value SET parts = 3",
        "UPDATE value SET size = 3",
        "UPDATE value_chunk SET part = 1 WHERE position = 1",
        "UPDATE chunk SET data = x'00' WHERE chunk_id = 1",
        "UPDATE chunk SET digest = zeroblob(32) WHERE chunk_id = 1",
        "DELETE FROM value_chunk WHERE position = 1",
    ],
)
def test_what_was_altered_is_refused(db: sqlite3.Connection, cipher: Cipher, change: str) -> None:
    value_id = put(db, cipher, Value(b"header", [b"a" * CHUNK + b"b", b"c"]))
    db.execute(change)
    with pytest.raises(DamagedValueError):
        ValueTable(db, cipher).get(value_id)
    assert any(f"value {value_id} " in each for each in ValueTable(db, cipher).findings())


def test_a_copy_has_the_same_chunks_and_outlives_the_original(db: sqlite3.Connection) -> None:
    for cipher in CIPHERS:
        values = ValueTable(db, cipher)
        value = Value(b"header", [b"a" * CHUNK + b"b", b"", b"c"])
        value_id = put(db, cipher, value)
        before = count(db)
        copied, size = values.copy(value_id)
        assert (count(db), size) == (before, value.size)
        values.release(value_id)
        assert values.collect() == 1
        assert values.get(copied) == value
        assert list(values.findings()) == []
        values.release(copied)
        values.collect()
        assert count(db) == 0
