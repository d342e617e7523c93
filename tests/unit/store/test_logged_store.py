"""What a store answers who asks for its log, and what it holds at one moment."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.unit.store.logged import add_run, attempt, commit, fail, rows

from fedstate.store.backup import back_up, restore
from fedstate.store.clock import Moment
from fedstate.store.logged_store import Failure, Held
from fedstate.store.node_store import NodeStore
from fedstate.store.retention import Retention
from fedstate.store.step_log import Chain
from fedstate.store.values import CHUNK_BYTES, Value, ValueTable
from fedstate.witness.digests import state_digest

RUN, LATER = 1, 2
LARGE = [bytes([number]) * CHUNK_BYTES for number in range(3)]


def describe(header: bytes) -> bytes:
    return header.removeprefix(b"header")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path)) as opened:
        add_run(opened, RUN)
        yield opened


def test_what_is_held_is_what_the_last_row_says(store: NodeStore) -> None:
    assert store.held(RUN, describe).digest == state_digest(b"", [])
    chunks = []
    digest = commit(store, RUN, 1, *LARGE)
    held = store.held(RUN, describe, lambda: chunks.append(1))
    chain = Chain(RUN, True, 1, 0, b"", rows(store)[0].digest)
    assert held == Held(chain, True, RUN, RUN, digest)
    assert len(chunks) == 3
    assert store.held(RUN).digest == b""


def test_of_a_run_that_is_not_there_nothing_is_held(store: NodeStore) -> None:
    assert store.held(99, describe) == Held(Chain(99, False, 0, 0, b"", b""))


def test_a_context_is_that_of_the_last_run_of_its_series(store: NodeStore) -> None:
    add_run(store, LATER, RUN)
    assert store.held(RUN, describe).held_by == LATER


def test_a_state_that_is_replaced_meanwhile_is_read_again(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, RUN, 1, *LARGE)
    content = ValueTable.chunk_content
    times: list[int] = []

    def replaced(self: ValueTable, address: bytes) -> Any:
        times.append(1)
        return None if len(times) in gone else content(self, address)

    monkeypatch.setattr(ValueTable, "chunk_content", replaced)
    gone = {2, 4}
    assert store.held(RUN, describe).digest == rows(store)[-1].record.stored
    times.clear()
    gone = {1, 2, 3}
    held = store.held(RUN, describe)
    assert (held.digest, held.problem) == (b"", "It was replaced while it was being read.")


def test_nobody_waits_for_more_than_a_chunk(store: NodeStore) -> None:
    """A commit fits between two chunks, and so does emptying the log, which waits for readers."""
    digest = commit(store, RUN, 1, *LARGE)
    done: list[int] = []

    def meanwhile() -> None:
        if not done:
            done.append(1)
            add_run(store, LATER)
            store.compact()

    assert store.held(RUN, describe, meanwhile).digest == digest


def test_a_failure_for_which_there_was_no_room_is_written_when_it_is_forgotten(
    store: NodeStore,
) -> None:
    store.receive("m", RUN, Value(b"message"))
    store.forget("m", failure=Failure(RUN, "no room", attempt()))
    (row,) = rows(store)
    assert row.record.reason == "no room"
    assert store.step("m") is None


def test_a_backup_has_the_log_and_goes_on_under_another_opening(
    store: NodeStore, tmp_path: Path
) -> None:
    commit(store, RUN, 1)
    back_up(store.directory, tmp_path / "backup")
    commit(store, RUN, 2)
    before = rows(store)
    restore(tmp_path / "backup", tmp_path / "restored")
    with closing(NodeStore(tmp_path / "restored")) as restored:
        assert rows(restored) == before[:1]
        assert restored.store_id == store.store_id
        commit(restored, RUN, 2)
        # The same place in the chain, and another row: who has both knows of the restoration.
        forked = rows(restored)[1]
        assert forked.record.sequence == before[1].record.sequence
        assert forked.record.previous == before[1].record.previous
        assert forked.row != before[1].row
        assert forked.record.opening != before[1].record.opening


def test_retention_frees_refused_messages_too(store: NodeStore) -> None:
    fail(store, RUN, 1)
    store.record_failure("m", Failure(99, "refused", attempt()))
    Retention(seconds=10).apply(store, Moment("boot", 100))
    Retention(seconds=10).apply(store, Moment("boot", 109))
    assert len(rows(store)) == 2
    Retention(seconds=10).apply(store, Moment("boot", 110))
    assert [each.record.run_id for each in rows(store)] == [RUN]
