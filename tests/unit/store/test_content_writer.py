"""Files of content are whole before their commit, and go only when nobody reads them."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.small_disk import fill, small_disk

from fedstate.store import content_writer
from fedstate.store.content import PAGE_BYTES, reading
from fedstate.store.content_writer import ContentWriter, Gone, punch
from fedstate.store.database import connect
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

DATA = b"d" * (PAGE_BYTES + 1)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ContentWriter]:
    with closing(ContentWriter(tmp_path)) as opened:
        yield opened


def names(writer: ContentWriter) -> list[str]:
    return sorted(each.name for each in writer.content.path.iterdir())


def written(writer: ContentWriter) -> int:
    """Write a file of two chunks in a transaction of its own, and return its number."""
    first = writer.append(DATA)
    second = writer.append(memoryview(DATA))
    assert second == (first[0], first[1] + 2 * PAGE_BYTES)
    assert writer.sync() == (first[0], 5 * PAGE_BYTES)
    writer.committed(0)
    assert writer.content.problem(first[0], 5 * PAGE_BYTES) is None
    assert writer.content.read(*first, len(DATA)) == DATA
    assert writer.content.read(*second, len(DATA)) == DATA
    return first[0]


def test_each_transaction_has_a_file_of_its_own(writer: ContentWriter) -> None:
    assert writer.sync() is None
    writer.committed(0)
    assert not writer.content.path.exists()
    assert written(writer) != written(writer)
    assert len(names(writer)) == 2
    assert all(each.st_mode & 0o777 == 0o600 for each in writer.content.files().values())
    assert writer.content.path.stat().st_mode & 0o777 == 0o700


def test_what_is_not_committed_goes(writer: ContentWriter) -> None:
    kept = written(writer)
    writer.append(DATA)
    writer.remove([Gone(kept)])
    writer.discard()
    writer.sweep()
    assert writer.content.files().keys() == {kept}


def test_what_may_be_committed_goes_with_the_next_commit(writer: ContentWriter) -> None:
    doubtful, _ = writer.append(DATA)
    writer.sync()
    writer.discard(doubtful=True)
    writer.discard()
    writer.sweep()
    assert writer.content.files().keys() == {doubtful}
    writer.committed(0)
    writer.sweep()
    assert writer.content.files() == {}


def test_what_has_gone_stays_while_somebody_reads(writer: ContentWriter, tmp_path: Path) -> None:
    file_id = written(writer)
    writer.remove([Gone(file_id)])
    writer.committed(7)
    writer.sweep(lambda: 7)
    with reading(tmp_path):
        writer.sweep()
    assert writer.content.files().keys() == {file_id}
    writer.sweep(lambda: 8)
    assert writer.content.files() == {}
    writer.sweep()


def test_much_that_has_gone_is_gone_through_once(
    writer: ContentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[object] = []
    equal = Gone.__eq__

    def counted(one: Gone, other: object) -> bool:
        compared.append(other)
        return equal(one, other)

    monkeypatch.setattr(Gone, "__eq__", counted)
    writer.remove(Gone(number) for number in range(1000))
    writer.committed(0)
    writer.sweep()
    # While they are compared, a commit waits.
    assert len(compared) <= 1000
    assert writer._waiting == []


def test_a_part_that_has_gone_gives_its_space_back(writer: ContentWriter) -> None:
    file_id = written(writer)
    before = writer.content.files()[file_id]
    writer.remove([Gone(file_id, PAGE_BYTES, 2 * PAGE_BYTES)])
    writer.committed(0)
    writer.sweep()
    after = writer.content.files()[file_id]
    assert after.st_size == before.st_size
    assert before.st_blocks - after.st_blocks == 2 * PAGE_BYTES // 512
    assert writer.content.read(file_id, 3 * PAGE_BYTES, len(DATA)) == DATA
    assert writer.content.problem(file_id, after.st_size) is None


def test_where_there_are_no_holes_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    monkeypatch.setattr(content_writer, "_fallocate", None)
    punch(tmp_path / "file", 0, PAGE_BYTES)
    monkeypatch.undo()
    punch(tmp_path / "missing", 0, PAGE_BYTES)
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "size=1m") as disk,
        closing(ContentWriter(disk)) as writer,
    ):
        writer.append(DATA)
        fill(disk / "filler")
        with pytest.raises(StoreFullError, match="is full"):
            writer.append(bytes(2**20))
        writer.discard()
        assert names(writer) == []


def test_a_disk_that_fails_is_named(
    writer: ContentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    writer.append(DATA)
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match=r"\.content' .*Input/output error.*Look at the disk"):
        writer.sync()
    writer.discard()
    assert names(writer) == []


def layers(number: int) -> list[bytes]:
    return [np.random.default_rng([number, part]).bytes(600_000) for part in range(2)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "state")) as opened:
        opened.add_run(
            StoredRun(1, 1, "fab", None), Value(b""), Value(b""), Value(b"0", layers(0))
        )
        yield opened


def test_the_file_is_durable_before_the_rows_that_name_it(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        with closing(connect(store.path, write=False)) as reader:
            (rows,) = reader.execute("SELECT count(*) FROM content_file").fetchone()
        durable.append((path.suffix if path.is_file() else path.name, rows))

    monkeypatch.setattr(os, "fsync", fsync)
    store.set_context(1, 1, Value(b"1", layers(1)))
    # The file, its name, and then the commit, which the mark follows.
    assert durable == [(".content", 1), ("node.content", 1), (".mark", 2)]


def test_a_read_of_one_commit_keeps_what_another_removes(store: NodeStore) -> None:
    begun, go = threading.Event(), threading.Event()
    found: list[object] = []

    def read() -> None:
        with store._reading() as now:
            row = now.rows.one("context", "1")
            assert row is not None
            assert isinstance(row["value_id"], int)
            begun.set()
            assert go.wait(30)
            found.append(now.values.get(row["value_id"]))

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    try:
        store.set_context(1, 1, Value(b"1", layers(1)))
        store._collect()
        store.look_for_room()
        assert len(store._content.content.files()) == 2
    finally:
        go.set()
        reader.join()
    assert found == [Value(b"0", layers(0))]
    store.look_for_room()
    assert len(store._content.content.files()) == 1
    assert store.context(1) == Value(b"1", layers(1))
