"""A run says what became of it, step by step."""

from contextlib import closing
from pathlib import Path

import pytest

import fedstate
from fedstate.flower.stored_values import describe_state
from fedstate.inspection import Store
from fedstate.inspection.errors import InspectionError
from fedstate.store.keeping_store import StateNotKeptError
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import NODE, OTHER, RUN, Recorder, remember


def test_a_run_has_its_steps_with_the_rounds_that_the_ledger_knows(store: Store) -> None:
    run = store.runs[RUN]
    assert (run.status, run.steps, run.failures, run.rounds) == ("running", 4, 1, 3)
    assert [step.round for step in run.log] == [1, 2, 3, None]
    assert [step.number for step in run.log] == [1, 2, 3, 4]
    last = run.last_step
    assert last is not None
    assert (last.outcome, last.reason) == ("failed", "The disk was full.")
    assert run.log[0].new_bytes > run.log[1].new_bytes > 0
    assert run.size == run.state().size > 1_200_000


def test_a_rollback_is_in_the_log_and_is_no_step(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        made.keep = 3
        run = Recorder(made, RUN)
        for number in (1, 2):
            run.step(number, remember)
        made.roll_back(RUN, 1, describe_state)
    there = fedstate.open_store(tmp_path).runs[RUN]
    assert [row.outcome for row in there.log] == ["committed", "committed", "rolled back"]
    assert [row.is_step for row in there.log] == [True, True, False]
    # These rounds are known from the ledger, which was rolled back too.
    assert (there.steps, there.failures, there.rounds) == (2, 0, 1)
    assert there.last_step == there.log[1]
    assert there.state().number == 3


def test_a_finished_run_and_one_that_the_superlink_does_not_know(
    store: Store, tmp_path: Path
) -> None:
    finished = store.runs[OTHER]
    assert (finished.status, finished.rounds) == ("finished", None)
    assert finished.finished_at is not None
    with closing(NodeStore(tmp_path)) as made:
        Recorder(made, RUN)
        made.note_unknown(RUN)
    run = fedstate.open_store(tmp_path).runs[RUN]
    assert (run.status, len(run.log), run.last_step, run.rounds) == ("unknown", 0, None, None)
    assert run.unknown_since is not None
    assert dict(run.values) == {}


def test_a_state_says_whose_it_is_and_with_which_configuration(store: Store) -> None:
    state = store.runs[RUN].state()
    assert (state.run_id, state.node_id, state.number) == (RUN, NODE, 3)
    assert state.run_config == {"learning-rate": 0.1, "seed": 7}
    assert state.node_config == {"partition-id": 1}
    assert [entry.round for entry in state.ledger] == [1, 2, 3]
    assert state.committed_at <= store.runs[RUN].log[-1].time


def test_the_state_of_a_run_that_a_later_one_has_replaced(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        first = Recorder(made, RUN, 5)
        first.step(1, remember)
        Recorder(made, OTHER, 5)
    runs = fedstate.open_store(tmp_path).runs
    assert (runs[RUN].size, runs[RUN].replaced_by) == (0, OTHER)
    with pytest.raises(InspectionError, match=f"went on in run {OTHER} of the same series"):
        _ = runs[RUN].values
    assert [step.outcome for step in runs[RUN].log] == ["committed"]
    assert dict(runs[OTHER].values) == {}


def test_a_state_that_is_not_kept(store: Store) -> None:
    with pytest.raises(
        StateNotKeptError,
        match=f"The state 77 of run {RUN} is not kept; of this run the node has: 3",
    ):
        store.runs[RUN].state(at=77)


def test_in_a_block_everything_is_of_one_commit_and_else_as_it_is_then(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        run = Recorder(made, RUN)
        run.step(1, remember)
        with fedstate.open_store(tmp_path) as store:
            values = store.runs[RUN].values
            for number in (2, 3):
                run.step(number, remember)
                made.maintain()
            assert values["weights"].load()[0] == 1
            assert store.runs[RUN].values["count"].load() == 1
        assert store.runs[RUN].values["count"].load() == 3
        late = store.runs[RUN].values["weights"]
        run.step(4, remember)
        made.maintain()
        with pytest.raises(InspectionError, match="was replaced by a newer one since it was"):
            late.load()


def test_log_and_values_as_frames(store: Store) -> None:
    pytest.importorskip("pandas")
    run = store.runs[RUN]
    assert list(run.log.frame()["outcome"]) == ["committed"] * 3 + ["failed"]
    assert list(run.values.frame()["name"]) == list(run.values)
    assert run.history("loss").frame().to_dict("list") == {
        "round": [1, 2, 3],
        "value": [1.0, 1 / 2, 1 / 3],
    }


def test_states_that_are_kept_are_read_like_the_newest(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path)) as made:
        made.keep = 3
        run = Recorder(made, RUN)
        for number in (1, 2, 3, 4):
            run.step(number, remember)
    run_of = fedstate.open_store(tmp_path).runs[RUN]
    assert [kept.number for kept in run_of.states] == [2, 3, 4]
    for number in (2, 3, 4):
        state = run_of.state(number)
        assert (state.number, state.values["count"].load()) == (number, number)
        assert state.values["weights"].load()[0] == number
