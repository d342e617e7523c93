"""Which state of another run a run begins with, and when it is refused one."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, MetricRecord, RecordDict
from tests.unit.superlink_in_process import PROJECT, fab

from fedstate.flower.nodestate import DurableNodeState, durable_node_state
from fedstate.flower.runs import Fab, Run
from fedstate.flower.stored_values import digest_of
from fedstate.large.context import SplitContext
from fedstate.store.keeping_store import Origin
from fedstate.store.node_store import NodeStore
from fedstate.store.values import Value
from fedstate.supernode.beginnings import BeginningRefusedError, Beginnings, FromRun
from fedstate.witness.record import BEGUN

APP = Fab(hashlib.sha256(fab()).hexdigest(), fab(), {})
_NEXT = fab(code="app = 2")
NEXT_VERSION = Fab(hashlib.sha256(_NEXT).hexdigest(), _NEXT, {})
_OTHER = fab(PROJECT.replace('name = "', 'name = "other-'))
OTHER_APP = Fab(hashlib.sha256(_OTHER).hexdigest(), _OTHER, {})

NAMELESS = Fab(hashlib.sha256(b"?").hexdigest(), b"?", {})


def a_run(run_id: int, app: Fab = APP, asked: str | int = "", account: str = "ann") -> Run:
    return replace(
        Run.create_empty(run_id),
        series_id=run_id + 10**6,
        fab_hash=app.hash_str,
        flwr_aid=account,
        override_config={"from-run": asked},
    )


def context_of(run: Run, loss: float) -> Context:
    state = RecordDict({"m": MetricRecord({"loss": loss})})
    return Context(run.run_id, 7, {}, state, {}, run.series_id)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[DurableNodeState]:
    with closing(NodeStore(tmp_path)) as store:
        store.keep = 3
        state = durable_node_state(store)
        state.set_node_id(7)
        yield state


def add(state: DurableNodeState, run: Run, app: Fab = APP, steps: int = 2) -> None:
    """Store a run with some steps; the loss in the state is the number of the step."""
    state.add_run(run, app, Context(run.run_id, 7, {}, RecordDict(), {}, run.series_id))
    for number in range(1, steps + 1):
        message = f"{run.run_id}-{number}"
        state.store.receive(message, run.run_id, Value(b"message"))
        split = SplitContext.split(context_of(run, number))
        state.commit_step(message, run.series_id, split, Value(b"reply"))
        state.store.answered(message)


def loss_of(state: RecordDict) -> object:
    metrics = state["m"]
    assert isinstance(metrics, MetricRecord)
    return metrics["loss"]


@pytest.mark.parametrize(
    ("asked", "number"),
    [("1001", 2), ("1001@2", 2), ("1001@1", 1), (1001, 2), ("10", 2), ("1001@0", 0)],
)
def test_the_state_that_is_named_is_found(
    state: DurableNodeState, asked: str | int, number: int
) -> None:
    add(state, a_run(1001))
    beginning = Beginnings(state, FromRun.SAME_APP).of(a_run(2001, asked=asked), APP)
    assert beginning is not None
    assert beginning.origin == Origin(1001, number)
    assert [loss_of(beginning.state)] == [number] if number else not beginning.state


def test_a_run_that_asks_for_nothing_begins_with_nothing(state: DurableNodeState) -> None:
    add(state, a_run(1001))
    for allowed in FromRun:
        assert Beginnings(state, allowed).of(a_run(2001), APP) is None
        without = replace(a_run(2001), override_config={})
        assert Beginnings(state, allowed).of(without, APP) is None


@pytest.mark.parametrize("allowed", list(FromRun))
@pytest.mark.parametrize(
    ("app", "account", "who_may"),
    [
        (APP, "ann", {FromRun.SAME_APP, FromRun.ANY}),
        (NEXT_VERSION, "ann", {FromRun.SAME_APP, FromRun.ANY}),
        (OTHER_APP, "ann", {FromRun.ANY}),
        (NAMELESS, "ann", {FromRun.ANY}),
        (APP, "bob", {FromRun.ANY}),
        (APP, "", {FromRun.ANY}),
    ],
    ids=["same", "next version", "other app", "no name", "other account", "no account"],
)
def test_whose_state_a_run_may_have_is_the_operators_to_say(
    state: DurableNodeState, app: Fab, account: str, who_may: set[FromRun], allowed: FromRun
) -> None:
    add(state, a_run(1001))
    beginnings = Beginnings(state, allowed)
    run = a_run(2001, app, "1001", account)
    if allowed in who_may:
        assert beginnings.of(run, app) is not None
        return
    with pytest.raises(BeginningRefusedError) as refused:
        beginnings.of(run, app)
    # What the node has of others is nothing to tell strangers.
    run = a_run(2001, app, "9999", account)
    with pytest.raises(BeginningRefusedError) as absent:
        beginnings.of(run, app)
    assert str(refused.value) == str(absent.value).replace("9999", "1001")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("17", "from-run=17: this node has no such run of the same app and account"),
        ("100", "from-run=100: 2 runs of this node begin with these digits; give more of them"),
        ("1001@7", r"does not keep the state of that step; of run 1001 it has 1, 2, 3 "),
        ("1001@", "from-run is '1001@', which is neither the ID of a run nor ID@STEP"),
        ("last", "from-run is 'last', which is neither the ID of a run nor ID@STEP"),
        (True, "from-run is True, which is neither"),
        ("2001", "from-run=2001: this node has no such run"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    state: DurableNodeState, asked: str, sentence: str
) -> None:
    add(state, a_run(1001), steps=3)
    add(state, a_run(1002))
    with pytest.raises(BeginningRefusedError, match=sentence):
        Beginnings(state, FromRun.SAME_APP).of(a_run(2001, asked=asked), APP)


def test_a_run_without_a_state_of_its_own_gives_none(state: DurableNodeState) -> None:
    """Another run of its series has replaced it, and it was not kept."""
    state.store.keep = 1
    add(state, a_run(1001))
    add(state, replace(a_run(1002), series_id=a_run(1001).series_id))
    with pytest.raises(BeginningRefusedError, match="The node store has no state of run 1001"):
        Beginnings(state, FromRun.ANY).of(a_run(2001, asked="1001"), APP)


def test_the_log_says_which_state_a_run_began_with(state: DurableNodeState) -> None:
    add(state, a_run(1001))
    run = a_run(2001, asked="1001@1")
    beginning = Beginnings(state, FromRun.SAME_APP).of(run, APP)
    assert beginning is not None
    context = Context(run.run_id, 7, {}, beginning.state, {}, run.series_id)
    state.add_run(run, APP, context, beginning.origin)
    (row,) = state.store.rows_after(0, [2001], 10)
    record = row.record
    assert (record.outcome, record.source_run, record.source_number) == (BEGUN, 1001, 1)
    assert (record.run_sequence, record.node_id) == (1, 7)
    source = state.store.kept_states(1001)[1]
    assert record.stored == source.digest
    assert record.stored == digest_of(SplitContext.split(context))
    assert [kept.number for kept in state.store.kept_states(2001)] == [1]
    assert loss_of(context.state) == 1
    # Another run that begins with its state, too.
    assert Beginnings(state, FromRun.SAME_APP).of(a_run(3001, asked="2001@1"), APP) is not None
