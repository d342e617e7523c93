"""Connections that read: how many, who may use them, and what becomes of a damaged one."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.waiting import wait_until

from fedstate.store.cipher import PlainCipher
from fedstate.store.database import connect
from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore
from fedstate.store.readers import Readers
from fedstate.store.schema import migrate


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[Readers]:
    with closing(connect(tmp_path / "node.db", write=True)) as writer:
        migrate(writer)
        with closing(Readers(tmp_path / "node.db", PlainCipher(), limit=2)) as opened:
            yield opened


def hold(readers: Readers, begun: threading.Event, go_on: threading.Event) -> None:
    with readers.snapshot():
        begun.set()
        assert go_on.wait(60)


def test_a_connection_is_used_again(readers: Readers) -> None:
    connections = []
    for _ in range(3):
        with readers.snapshot() as snapshot:
            connections.append(snapshot.db)
    assert len({id(each) for each in connections}) == 1


def test_as_many_as_the_limit_read_and_the_next_one_waits(readers: Readers) -> None:
    with ThreadPoolExecutor(3) as pool:
        events = [(threading.Event(), threading.Event()) for _ in range(3)]
        held = [pool.submit(hold, readers, *pair) for pair in events[:2]]
        assert all(begun.wait(60) for begun, _ in events[:2])
        third = pool.submit(hold, readers, *events[2])
        # Somebody who waits is seen in the queue of the condition.
        wait_until(lambda: readers._changed._waiters)  # type: ignore[attr-defined]
        assert not events[2][0].is_set()
        events[0][1].set()
        assert events[2][0].wait(60)
        for _, go_on in events:
            go_on.set()
        for each in (*held, third):
            each.result(60)
    assert len(readers._idle) == 2


def test_a_thread_that_reads_neither_reads_again_nor_closes(readers: Readers) -> None:
    with readers.snapshot():
        for use in (readers.close, readers.forbid):
            with pytest.raises(RuntimeError, match="must not use it again"):
                use()
        for block in (readers.snapshot(), readers.paused()):
            with pytest.raises(RuntimeError), ExitStack() as stack:
                stack.enter_context(block)
    readers.forbid()


def test_a_thread_that_reads_does_not_write(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as store, store._reading():
        with pytest.raises(RuntimeError):
            store.finish_run(1)
        with pytest.raises(RuntimeError):
            store.maintain()


def test_after_an_error_there_is_another_connection(readers: Readers) -> None:
    with readers.snapshot() as before:
        pass

    def fail() -> None:
        with readers.snapshot() as snapshot:
            assert snapshot is before
            snapshot.db.execute("SELECT nothing FROM nowhere")

    with pytest.raises(sqlite3.OperationalError):
        fail()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        before.db.execute("SELECT 1")
    with readers.snapshot() as after:
        assert after.rows.find("run") == []


def test_a_connection_that_cannot_be_made_takes_nobodys_place(tmp_path: Path) -> None:
    with closing(Readers(tmp_path / "nowhere", PlainCipher(), limit=1)) as readers:
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError), readers.snapshot():
                pass


def test_nobody_reads_after_the_end(readers: Readers) -> None:
    with readers.snapshot() as snapshot:
        pass
    readers.close()
    readers.close()
    with pytest.raises(StoreError, match="is closed"), readers.snapshot():
        pass
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        snapshot.db.execute("SELECT 1")
