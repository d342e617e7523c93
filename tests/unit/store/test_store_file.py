"""Opening a store, its commits, and what happens when one of its files cannot be written."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store.errors import StoreDamagedError, StoreError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

RUN = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "state")) as opened:
        opened.add_run(RUN, Value(b"record"), Value(b"fab"), Value(b"context"))
        yield opened


def test_a_store_is_made_only_where_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no node store in"):
        NodeStore(tmp_path / "state", create=False)
    assert not (tmp_path / "state").exists()
    NodeStore(tmp_path / "state").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    NodeStore(tmp_path / "state", create=False).close()


def test_a_store_that_cannot_be_opened_is_let_go(store: NodeStore) -> None:
    store.close()
    content = store.path.read_bytes()
    store.path.write_bytes(content[:5000])
    for _ in range(2):  # not that it is in use
        with pytest.raises(StoreDamagedError):
            NodeStore(store.directory)
    store.path.write_bytes(content)
    NodeStore(store.directory).close()


def test_a_transaction_that_fails_changes_nothing(store: NodeStore) -> None:
    def fail() -> None:
        with store._transaction(commits_state=True) as generation:
            assert generation == 2
            store._rows.delete("context", "1")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert store.generation == 1
    assert store.context(1) == Value(b"context", [])
    assert store.set_context(1, 1, Value(b"later")) == 2


def test_damage_that_a_read_finds_names_the_way_back(store: NodeStore) -> None:
    with store._transaction():
        store._db.execute("UPDATE context SET run_id = '2'")
    with pytest.raises(StoreDamagedError, match=r"does not have its checksum.*state restore"):
        store.context(1)
    assert store.runs() == [RUN]


def test_a_mark_that_cannot_be_written_does_not_fail_a_commit(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit itself is durable."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "node.mark":
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with caplog.at_level(logging.WARNING), monkeypatch.context() as patch:
        patch.setattr(logging.getLogger("flwr"), "propagate", True)
        assert store.set_context(1, 1, Value(b"later")) == store.generation == 2
    assert "node.mark' could not be written" in caplog.text
    assert store.context(1) == Value(b"later", [])


def test_a_store_may_be_closed_again(store: NodeStore) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.set_context(1, 1, Value(b"later"))
    with pytest.raises(StoreError):
        store.context(1)
