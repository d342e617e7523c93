"""Which states of a run are kept, what they are called, and what goes with them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.store.logged import add_run, commit, fail

from fedstate.store.keeping_store import StateNotKeptError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import Retention
from fedstate.store.values import Value


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path)) as opened:
        opened.keep = 3
        yield opened


def numbers(store: NodeStore, run_id: int = 1) -> list[int]:
    return [state.number for state in store.kept_states(run_id)]


def values(store: NodeStore) -> int:
    store.maintain()
    with closing(sqlite3.connect(store.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM value").fetchone()[0])


def test_the_last_states_are_kept_under_the_numbers_of_their_rows(store: NodeStore) -> None:
    add_run(store, 1)
    assert numbers(store) == [0]
    digests = [commit(store, 1, number) for number in (1, 2)]
    assert numbers(store) == [0, 1, 2]
    fail(store, 1, 3)
    digests.append(commit(store, 1, 4))
    states = store.kept_states(1)
    assert [state.number for state in states] == [1, 2, 4]
    assert [state.digest for state in states] == digests
    assert [state.group_id for state in states] == ["1", "2", "4"]
    assert [state.current for state in states] == [False, False, True]
    assert [state.generation for state in states] == [2, 3, 4]
    assert len({state.committed_at for state in states}) == 3
    for state in states:
        assert store.kept_context(1, state.number)[1].header == b"headerstate %d" % state.number


def test_of_many_kept_states_an_error_names_the_first_and_the_last(store: NodeStore) -> None:
    store.keep = 100
    add_run(store, 1)
    for number in range(1, 13):
        commit(store, 1, number)
    with pytest.raises(
        StateNotKeptError, match=r"has: 0, 1, 2, 3, 4, \.\.\., 8, 9, 10, 11, 12\."
    ):
        store.kept_context(1, 77)


def test_one_state_of_each_run_is_kept_unless_more_are_asked_for(store: NodeStore) -> None:
    store.keep = NodeStore.keep
    add_run(store, 1)
    before = values(store)
    digest = b""
    for number in (1, 2, 3):
        digest = commit(store, 1, number)
        assert numbers(store) == [number]
    (state,) = store.kept_states(1)
    assert (state.digest, state.group_id, state.current) == (digest, "3", True)
    # The replies of two steps.
    assert values(store) == before + 2


def test_the_state_that_is_there_when_more_are_asked_for_is_kept_too(store: NodeStore) -> None:
    store.keep = 1
    add_run(store, 1)
    digest = commit(store, 1, 1)
    fail(store, 1, 2)
    store.keep = 5
    commit(store, 1, 3)
    states = store.kept_states(1)
    assert [(state.number, state.group_id) for state in states] == [(1, "1"), (3, "3")]
    assert states[0].digest == digest
    store.keep = 2
    commit(store, 1, 4)
    assert numbers(store) == [3, 4]
    store.keep = 1
    commit(store, 1, 5)
    assert numbers(store) == [5]


def test_a_state_whose_row_has_gone_has_the_number_of_the_newest(store: NodeStore) -> None:
    store.keep, store.keep_log = 1, 1
    add_run(store, 1)
    commit(store, 1, 1)
    fail(store, 1, 2)
    assert numbers(store) == [2]
    assert store.kept_states(1)[0].digest == b""


def commit_in_series(store: NodeStore, run_id: int, number: int) -> None:
    store.receive(f"{run_id}-{number}", run_id, Value(b"message"))
    state = Value(b"%d" % number, description=b"")
    store.commit(f"{run_id}-{number}", 7, state, Value(b"reply"))


def test_each_run_keeps_its_own_in_one_series_too(store: NodeStore) -> None:
    add_run(store, 1, 7)
    commit_in_series(store, 1, 1)
    add_run(store, 2, 7)
    commit_in_series(store, 2, 1)
    assert numbers(store) == [0, 1]
    assert numbers(store, 2) == [0, 1]
    assert [state.current for state in store.kept_states(1)] == [False, False]
    assert [state.current for state in store.kept_states(2)] == [False, True]
    store.finish_run(2)
    store.free_run(2)
    # It has the Context of the series, which the other run has not given up.
    assert store.context(7) is not None
    assert numbers(store, 2) == []
    commit_in_series(store, 1, 2)
    assert numbers(store) == [0, 1, 2]
    store.close()
    # It is checked, and nothing is missing that something refers to.
    NodeStore(store.directory).close()


def test_they_go_with_their_run(store: NodeStore) -> None:
    add_run(store, 2)
    empty = values(store)
    add_run(store, 1)
    for number in range(1, 6):
        commit(store, 1, number, os.urandom(5000))
    store.finish_run(1)
    store.free_run(1)
    assert numbers(store) == []
    assert values(store) == empty


def test_of_former_states_only_what_others_have_not_counts(store: NodeStore) -> None:
    add_run(store, 1)
    layer = os.urandom(100_000)
    for number in range(1, 4):
        commit(store, 1, number, layer, os.urandom(1000))
    store.finish_run(1)
    ((_, size),) = store.finished_bytes()
    assert 103_000 <= size < 104_000
    assert Retention(max_bytes=size).apply(store) == []
    assert Retention(max_bytes=size - 1).apply(store) == [1]


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["plain", "encrypted"])
def test_what_changes_in_one_layer_takes_no_more_than_twice_its_bytes(
    tmp_path: Path, key: bytes | None
) -> None:
    """The bound of the documentation, with a hundredth of the state changing in each round."""
    rounds, layers = 25, [os.urandom(100_000) for _ in range(100)]
    with closing(NodeStore(tmp_path, key=key)) as store:
        store.keep = rounds + 2
        run = StoredRun(1, 1, "fab", None)
        store.add_run(run, Value(b""), Value(b""), Value(b"", layers, b""))
        for number in range(1, rounds + 1):
            layers[number % 100] = os.urandom(100_000)
            store.receive(f"m{number}", 1, Value(b"message"))
            store.commit(f"m{number}", 1, Value(b"%d" % number, layers, b""), Value(b"reply"))
            store.answered(f"m{number}")
            if number == 5:
                store.compact()
                before = store.path.stat().st_size
        store.compact()
        assert len(store.kept_states(1)) == rounds + 1
        assert before < 2 * (10_000_000 + 5 * 100_000)
        assert store.path.stat().st_size - before < 2 * (rounds - 5) * 100_000
        assert store.kept_context(1, rounds)[1].blobs == layers
