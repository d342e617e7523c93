"""Histories grow, are bounded on request, and do not touch what they do not change."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.state import (
    History,
    HistoryEntry,
    StateDamagedError,
    StateEntryError,
    StateTypeError,
    StateUsageError,
    check_state,
    open_state,
)
from tests.unit.state.steps import digest_of, make_context, make_message, sent, step

CHUNK = 4096


def with_entries(count: int, limit: int | None = None) -> Context:
    context = make_context()
    with step(context) as state:
        history = state.history("loss", limit)
        for number in range(count):
            history.append(number / 8, number)
    return sent(context)


def test_entries_carry_the_round_of_their_step() -> None:
    context = make_context()
    for server_round in (1, 2, 3):
        with step(context, server_round) as state:
            state.history("loss").append(1 / server_round)
            state.history("accuracy").append(0.5, 10 * server_round)
    with open_state(make_message(None), sent(context)) as state:
        loss = state.history("loss")
        loss.append(0)
        assert list(loss) == [(1, 1.0), (2, 0.5), (3, 1 / 3), (None, 0.0)]
        assert loss[-2] == HistoryEntry(3, 1 / 3)
        assert loss.rounds == [1, 2, 3, None]
        assert state.history("accuracy").rounds == [10, 20, 30]
        with pytest.raises(IndexError):
            loss[4]


@settings(max_examples=60)
@given(
    batches=st.lists(st.lists(st.floats(), max_size=12), max_size=6),
    limit=st.one_of(st.none(), st.integers(1, 20)),
    chunk=st.integers(1, 7),
)
def test_a_history_is_a_list_with_a_bound(
    batches: list[list[float]], limit: int | None, chunk: int
) -> None:
    context, expected = make_context(), list[float]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedstate.state.history._CHUNK", chunk)
        for number, batch in enumerate(batches, 1):
            context = sent(context)
            with step(context, number) as state:
                history = state.history("loss", limit)
                for value in batch:
                    history.append(value)
                expected += batch
                kept = expected[-limit:] if limit else expected
                assert history.values.tobytes() == np.array(kept, np.float64).tobytes()
                assert len(history) == len(kept)
                assert history.dropped == len(expected) - len(kept)
            check_state(context.state)


@pytest.mark.parametrize("limit", [None, 5000])
def test_equal_histories_have_equal_digests_however_they_grew(limit: int | None) -> None:
    at_once = History(limit)
    for number in range(3 * CHUNK):
        at_once.append(number, number)
    context = make_context()
    for batch in _batches(1000):
        context = sent(context)
        with step(context) as state:
            for number in batch:
                state.history("value", limit).append(number, number)
    assert state.entry is not None
    assert state.entry.digest == digest_of(at_once)


def _batches(size: int) -> list[range]:
    return [range(i, min(i + size, 3 * CHUNK)) for i in range(0, 3 * CHUNK, size)]


def test_appending_keeps_full_chunks_as_they_are() -> None:
    context = with_entries(2 * CHUNK + 5)
    before = {key: array.data for key, array in record(context).items()}
    with step(context) as state:
        state.history("loss").append(1)
    after = {key: array.data for key, array in record(context).items()}
    assert list(after) == ["0", "4096", "8192"]
    assert all(after[key] is before[key] for key in ("0", "4096"))
    assert len(after["8192"]) == len(before["8192"]) + 16


def test_limits() -> None:
    context = with_entries(10, limit=4)
    with step(context) as state:
        history = state.history("loss")
        assert (history.limit, len(history), history.dropped) == (4, 4, 6)
        state.history("loss", limit=2)
    with step(sent(context)) as state:
        assert state.history("loss").rounds == [8, 9]
        assert state.history("loss").dropped == 8
        with pytest.raises(StateTypeError, match="limit is 0"):
            state.history("loss").limit = 0


@pytest.mark.parametrize("value", [np.float32(0.1), np.array(0.1, np.float32), np.array([0.1])])
def test_numbers_of_every_kind_are_taken(value: Any) -> None:
    history = History()
    history.append(value)
    assert history.values[0] == float(np.asarray(value).reshape(-1)[0])


@pytest.mark.parametrize("value", ["0.1", None, True, [0.1], 1j, np.ones(2), 2**53 + 1, 10**400])
def test_what_is_no_number_is_refused(value: Any) -> None:
    history = History()
    with pytest.raises(StateTypeError, match="A history's value is"):
        history.append(value)
    assert len(history) == 0


@pytest.mark.parametrize("server_round", [-1, 2**63, 1.0, True])
def test_what_is_no_round_is_refused(server_round: Any) -> None:
    with pytest.raises(StateTypeError, match="A history's round is"):
        History().append(1, server_round)


def test_a_name_that_is_taken_by_another_value_is_refused() -> None:
    with step(make_context()) as state:
        state["loss"] = [1.0]
        with pytest.raises(StateTypeError, match="'loss' is a list, not a history"):
            state.history("loss")


def test_a_full_chunk_that_was_altered_is_found_when_it_is_read() -> None:
    """Appending does not read it; `check_state` does."""
    context = with_entries(CHUNK + 1)
    alter(context, "0")
    with pytest.raises(StateDamagedError, match="changed: 'loss'"):
        check_state(context.state)
    with step(context) as state:
        state.history("loss").append(1)
    with (
        pytest.raises(StateDamagedError, match="entries from 0 on do not match their digest"),
        step(sent(context)) as state,
    ):
        state.history("loss").values  # noqa: B018
    with pytest.raises(StateDamagedError, match="changed: 'loss'"):
        check_state(context.state)


def test_a_chunk_that_may_still_change_is_checked_on_opening() -> None:
    context = with_entries(CHUNK + 1)
    alter(context, "4096")
    with pytest.raises(StateDamagedError, match="changed: 'loss'"), step(context):
        pytest.fail("it was opened")


def test_equality_and_repr() -> None:
    one, other = History(), History()
    one.append(0.5)
    assert one != other
    other.append(0.5)
    assert one == other
    assert one != [0.5]
    assert repr(one) == "History(1 entries, newest: 0.5)"


def record(context: Context) -> ArrayRecord:
    return context.state.array_records["loss"]


def alter(context: Context, key: str) -> None:
    entries = record(context)[key].numpy().copy()
    entries["value"][0] = -1
    altered = Array(entries)
    record(context)[key] = Array(
        record(context)[key].dtype, altered.shape, altered.stype, altered.data
    )


def test_asking_for_a_history_that_is_not_there_changes_nothing() -> None:
    context = make_context()
    with step(context) as state:
        history = state.history("loss", limit=5)
        assert state.history("loss") is history
        assert (len(history), list(history), history.values.tolist()) == (0, [], [])
        assert "loss" not in state
        with pytest.raises(StateTypeError, match="value is 'x'"):
            history.append("x")
        assert list(state) == []
    assert state.entry is None
    assert len(context.state) == 0
    with step(context) as state:
        history = state.history("loss", limit=5)
        history.append(0.5)
        assert state["loss"] is history is state.history("loss")
    with step(sent(context)) as state:
        assert state.history("loss").values.tolist() == [0.5]
        assert state.history("loss").limit == 5


def test_a_history_whose_name_was_given_away_is_not_written_over_it() -> None:
    with step(make_context()) as state:
        history = state.history("loss")
        state["loss"] = 3
        with pytest.raises(StateUsageError, match="Another value was stored as 'loss'"):
            history.append(1)
        assert state["loss"] == 3


def test_slices_are_those_of_a_list() -> None:
    with step(with_entries(7)) as state:
        history = state.history("loss")
        entries = list(history)
        for part in (
            slice(None),
            slice(2, 5),
            slice(-3, None),
            slice(None, None, -2),
            slice(9, 12),
        ):
            assert history[part] == entries[part]
        assert history[np.int64(2)] == entries[2]


def test_an_entry_that_is_not_there_is_named_with_its_history() -> None:
    with step(with_entries(2)) as state:
        with pytest.raises(
            StateEntryError, match=r"^The history 'loss' has no entry 2: it has 2 "
        ):
            state.history("loss")[2]
        with pytest.raises(IndexError, match=r"^The history 'new' has no entry -1: it is empty"):
            state.history("new")[-1]
        assert repr(state.history("new")) == "History('new', 0 entries)"
    with pytest.raises(StateEntryError, match=r"^A history has no entry 0: it is empty"):
        History()[0]
