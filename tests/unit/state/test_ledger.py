"""Every commit is accounted for, and what does not match its account is refused."""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Context

from fedstate.state import (
    LedgerEntry,
    StateDamagedError,
    StateOwnerError,
    StateVersionError,
    check_state,
    content_digest,
    open_state,
    read_ledger,
)
from tests.unit.state.steps import NODE, RUN, make_context, make_message, sent, step, to_bytes


def remember(context: Context, server_round: int, **options: Any) -> LedgerEntry:
    with step(context, server_round, **options) as state:
        state["weights"] = np.full(4, server_round, np.float32)
        state.history("loss").append(1 / server_round)
    assert state.entry is not None
    return state.entry


@pytest.fixture
def context() -> Context:
    context = make_context()
    for server_round in (1, 2, 3):
        remember(context, server_round)
    return sent(context)


def test_each_entry_continues_the_one_before(context: Context) -> None:
    entries = read_ledger(context.state)
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert [entry.round for entry in entries] == [1, 2, 3]
    assert [entry.message_id for entry in entries] == ["message-1", "message-2", "message-3"]
    assert {(entry.run_id, entry.node_id, entry.action) for entry in entries} == {
        (RUN, NODE, "train")
    }
    assert [entry.parent for entry in entries] == ["", entries[0].digest, entries[1].digest]
    assert content_digest(context.state) == entries[2].digest
    assert check_state(context.state) == entries[2]


def test_equal_content_has_equal_digests_whoever_holds_it() -> None:
    mine, other = make_context(), make_context(run_id=5, node_id=6)
    assert remember(mine, 1).digest == remember(other, 1).digest
    assert remember(mine, 2).digest == remember(other, 2).digest


def test_the_order_of_assignment_is_not_content() -> None:
    digests = []
    for names in ("ab", "ba"):
        with step(make_context()) as state:
            for name in names:
                state[name] = name
        assert state.entry is not None
        digests.append(state.entry.digest)
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("group_id", "config", "expected"),
    [("7", {}, 7), ("", {"server-round": 3}, 3), ("", {}, None), ("group", {"lr": 1}, None)],
)
def test_the_round_is_found_where_flower_puts_it(
    group_id: str, config: dict[str, int], expected: int | None
) -> None:
    message = make_message(None, message_type="train.personalise")
    message.metadata.group_id = group_id
    message.content["config"] = ConfigRecord(dict(config))
    with open_state(message, make_context()) as state:
        state["a"] = 1
    assert state.entry is not None
    assert (state.entry.round, state.entry.action) == (expected, "train.personalise")
    report = state.report()
    assert report.get("round") == expected
    assert (report["run_id"], report["node_id"]) == (str(RUN), str(NODE))


def test_the_ledger_is_bounded_on_request(context: Context) -> None:
    for server_round in range(4, 9):
        remember(context, server_round, ledger_limit=2)
    entries = read_ledger(context.state)
    assert [entry.sequence for entry in entries] == [7, 8]
    assert check_state(sent(context).state) == entries[-1]


def alter_weight(state: Any) -> None:
    state["weights"]["array"] = Array(np.zeros(4, np.float32))


def remove_value(state: Any) -> None:
    del state["loss"]


def add_value(state: Any) -> None:
    state["stowaway"] = ConfigRecord({"a": 1})


def alter_manifest(state: Any) -> None:
    line = str(state["fedstate.codecs"]["weights"])
    state["fedstate.codecs"]["weights"] = line.replace("numpy.array", "object")


def alter_digest(state: Any) -> None:
    lines = state["fedstate.ledger"]["entries"]
    entry = json.loads(str(lines[-1])) | {"digest": "0" * 64}
    lines[-1] = json.dumps(entry)


def spoil_value(state: Any) -> None:
    state["stowaway"] = ConfigRecord({"a": [1]})
    state["stowaway"]["a"].append("x")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (alter_weight, "changed: 'weights'"),
        (remove_value, "(names values that are not there: loss|missing: .loss.)"),
        (add_value, "added: 'stowaway'"),
        (alter_manifest, "changed: 'fedstate.codecs'"),
        (alter_digest, "its ledger was changed"),
        (spoil_value, "'stowaway' has 'a'"),
    ],
)
def test_a_state_that_does_not_match_its_digest_is_refused(
    context: Context, damage: Callable[[Any], None], sentence: str
) -> None:
    damage(context.state)
    before = None if damage is spoil_value else to_bytes(context)
    with pytest.raises(StateDamagedError, match=sentence), step(context):
        pytest.fail("it was opened")
    with pytest.raises(StateDamagedError, match=sentence):
        check_state(context.state)
    assert before is None or to_bytes(context) == before, "what is damaged must not be touched"


class TestLargeValues:
    """They are hashed when they are read, or else at the commit; never, if they are replaced."""

    @pytest.fixture
    def damaged(self) -> Context:
        context = make_context()
        with step(context) as state:
            state["large"] = np.ones(2**18, np.float64)
            state["small"] = 1
        context = sent(context)
        records: Any = context.state
        array = records["large"]["array"]
        array.data = array.data[:-1] + b"\x00"
        return context

    def test_damage_is_found_when_it_is_read(self, damaged: Context) -> None:
        with step(damaged) as state:
            assert state["small"] == 1
            with pytest.raises(StateDamagedError, match="changed: 'large'"):
                state["large"]

    def test_no_step_commits_over_damage(self, damaged: Context) -> None:
        before = to_bytes(damaged)
        with pytest.raises(StateDamagedError, match="changed: 'large'"), step(damaged) as state:
            state["small"] = 2
        assert to_bytes(damaged) == before

    def test_not_even_one_that_hides_it(self, damaged: Context) -> None:
        records: Any = damaged.state
        with pytest.raises(StateDamagedError, match="changed: 'large'"), step(damaged):
            records["large"]["array"] = Array(np.ones(2**18))

    def test_what_is_replaced_is_damaged_no_more(self, damaged: Context) -> None:
        with step(damaged) as state:
            state["large"] = np.zeros(2**18)
            assert state["large"].sum() == 0
        with step(sent(damaged)) as state:
            assert state["large"].sum() == 0


def test_a_removed_record_of_the_apps_own_is_missed(context: Context) -> None:
    with step(context) as state:
        state["mine"] = ConfigRecord({"a": 1})
    del context.state["mine"]
    with pytest.raises(StateDamagedError, match="missing: 'mine'"), step(context):
        pytest.fail("it was opened")


@pytest.mark.parametrize("position", [0, 1])
def test_an_entry_that_was_dropped_is_missed(context: Context, position: int) -> None:
    records: Any = context.state
    del records["fedstate.ledger"]["entries"][position + 1]
    with pytest.raises(StateDamagedError):
        check_state(context.state)


@pytest.mark.parametrize(
    "ledger",
    [
        {},
        {"schema": 1},
        {"schema": 1, "series_id": 0, "replaced_runs": [], "digests": "{}", "entries": []},
        {"schema": 1, "series_id": 0, "replaced_runs": [], "digests": "[", "entries": ["{}"]},
        {"schema": 1, "series_id": 0, "replaced_runs": [], "digests": "{}", "entries": ["{}"]},
        {"schema": 1, "series_id": 0, "replaced_runs": [], "digests": "{}", "entries": ["["]},
    ],
)
def test_a_ledger_that_cannot_be_read_is_damage(ledger: dict[str, object]) -> None:
    context = make_context()
    context.state["fedstate.ledger"] = ConfigRecord(ledger)  # type: ignore[arg-type]
    with pytest.raises(StateDamagedError), step(context):
        pytest.fail("it was opened")


def test_a_ledger_of_a_newer_fedstate_is_named() -> None:
    context = make_context()
    context.state["fedstate.ledger"] = ConfigRecord({"schema": 2})
    with pytest.raises(StateVersionError, match="schema 2, and this fedstate reads up to 1"):
        read_ledger(context.state)


def test_values_without_a_ledger_are_damage(context: Context) -> None:
    del context.state["fedstate.ledger"]
    with (
        pytest.raises(StateDamagedError, match=r"values of fedstate's \(weights, loss\)"),
        step(context),
    ):
        pytest.fail("it was opened")


def test_another_nodes_state_is_refused(context: Context) -> None:
    stolen = make_context(node_id=NODE + 1)
    stolen.state = context.state
    with (
        pytest.raises(StateOwnerError, match=f"belongs to node {NODE} and the Context to node"),
        step(stolen),
    ):
        pytest.fail("it was opened")


@pytest.mark.parametrize("series_id", [0, 9])
def test_another_runs_state_is_refused(context: Context, series_id: int) -> None:
    stolen = make_context(run_id=5, series_id=series_id)
    stolen.state = context.state
    with (
        pytest.raises(StateOwnerError, match=f"belongs to run {RUN} and the Context to run 5"),
        step(stolen),
    ):
        pytest.fail("it was opened")


def test_a_message_of_another_run_is_refused(context: Context) -> None:
    with (
        pytest.raises(StateOwnerError, match="message is of run 5"),
        open_state(make_message(1, run_id=5), context),
    ):
        pytest.fail("it was opened")


class TestSeries:
    """Flower hands a run the Context of the run before it in its series."""

    @pytest.fixture
    def second(self) -> Context:
        first = make_context(run_id=1, series_id=9)
        remember(first, 1)
        remember(first, 2)
        return self.next_run(first, 2)

    @staticmethod
    def next_run(context: Context, run_id: int) -> Context:
        following = make_context(run_id=run_id, series_id=context.series_id)
        following.state = sent(context).state
        return following

    def test_a_run_starts_fresh_and_says_so(
        self, second: Context, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "flwr.fedstate"):
            entry = remember(second, 1)
        assert "run 2 starts fresh, without the state of run 1" in caplog.text
        assert (entry.sequence, entry.parent) == (1, "")
        assert [e.run_id for e in read_ledger(second.state)] == [2]

    def test_a_fresh_start_that_commits_nothing_keeps_what_was_there(
        self, second: Context
    ) -> None:
        before = to_bytes(second)
        with step(second) as state:
            assert len(state) == 0
        assert to_bytes(second) == before

    def test_the_run_that_was_replaced_is_told(self, second: Context) -> None:
        remember(second, 1)
        first_again = self.next_run(second, 1)
        with (
            pytest.raises(StateOwnerError, match="run 1 was replaced by run 2"),
            step(first_again),
        ):
            pytest.fail("it was opened")

    def test_damage_is_found_before_a_fresh_start(self, second: Context) -> None:
        alter_weight(second.state)
        with pytest.raises(StateDamagedError), step(second):
            pytest.fail("it was opened")
