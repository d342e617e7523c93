"""What apps tell is held against the evidence, and in simulation it is all there is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedstate.verify.beside import contradictions, ledger_problems, simulated
from fedstate.verify.evidence import Delivery, RunEvidence
from fedstate.verify.findings import CHECKS, Level
from fedstate.verify.told import Entry, Holding, Reply, ToldRun

FIRST = Entry(1, "7", "11", 1, "m1", "", "a")
SECOND = Entry(2, "7", "11", 2, "m2", "a", "b")
HOLDING = Holding("11", 0, "b", {"loss": (0.5, 0.25)}, (FIRST, SECOND))
REPLIES = tuple(
    Reply("11", e.round, "train", e.message_id, e, None, "r") for e in (FIRST, SECOND)
)
TOLD = ToldRun("7", "1.42.0", "simulation", {}, REPLIES, (HOLDING,), {})


def holding(**changes: object) -> ToldRun:
    return replace(TOLD, holdings=(replace(HOLDING, **changes),))  # type: ignore[arg-type]


def test_a_sound_ledger_has_no_problem() -> None:
    assert list(ledger_problems(TOLD)) == []


@pytest.mark.parametrize(
    ("told", "check"),
    [
        (holding(digest="c"), "persistence"),
        (holding(entries=(FIRST, replace(SECOND, parent="c"))), "persistence"),
        (holding(entries=(FIRST, replace(SECOND, sequence=3))), "persistence"),
        (holding(entries=(FIRST, replace(SECOND, run_id="8"))), "isolation"),
        (holding(entries=(FIRST, replace(SECOND, node_id="12"))), "isolation"),
        (holding(entries=(FIRST,), digest="a"), "agreement"),
    ],
)
def test_a_ledger_that_contradicts_itself_is_found(told: ToldRun, check: str) -> None:
    assert check in {name for _, name, _ in ledger_problems(told)}


def test_values_of_a_history_are_the_apps_own_affair() -> None:
    """Another name, two values a step, none at all: nothing is amiss."""
    for history in ((), (1.0,), (1.0, 2.0, 3.0, 4.0)):
        assert list(ledger_problems(holding(histories={"accuracy": history}))) == []


def test_a_run_in_simulation_is_known_by_what_its_apps_tell() -> None:
    """No check passes by that, and a ledger that contradicts itself breaks one."""
    run = RunEvidence(7, 7, "finished:completed", told=TOLD, witnessed=False)
    found = list(simulated(run))
    assert {each.kind for each in found} == {"told-by-the-app-alone"}
    assert {each.check: each.level for each in found} == dict.fromkeys(CHECKS, Level.UNKNOWN)
    run.told = holding(digest="c")
    levels = {each.check: each.level for each in simulated(run)}
    assert levels == {**dict.fromkeys(CHECKS, Level.UNKNOWN), "persistence": Level.BROKEN}


@pytest.mark.parametrize(
    ("told", "text"), [(None, "left no record"), (replace(TOLD, holdings=()), "no ledger")]
)
def test_a_run_in_simulation_of_which_no_app_tells_is_not_known(
    told: ToldRun | None, text: str
) -> None:
    run = RunEvidence(7, 7, "finished:completed", told=told, witnessed=False)
    found = list(simulated(run))
    assert [(each.check, each.kind) for each in found] == [(each, "no-log") for each in CHECKS]
    assert all(text in each.text for each in found)


def witnessed(told: ToldRun | None = TOLD) -> RunEvidence:
    run = RunEvidence(7, 7, "finished:completed", told=told)
    for message_id, number in (("m1", 1), ("m2", 2)):
        delivery = Delivery(message_id, str(number), "train", 1.0, 2.0, "r")
        run.node(11).deliveries.append(delivery)
    return run


def test_a_record_that_fits_the_superlinks_account_is_fine() -> None:
    assert list(contradictions(witnessed())) == []
    assert list(contradictions(witnessed(None))) == []


def with_reply(**changes: object) -> Callable[[], RunEvidence]:
    replies = (REPLIES[0], replace(REPLIES[1], **changes))  # type: ignore[arg-type]
    return lambda: witnessed(replace(TOLD, replies=replies))


@pytest.mark.parametrize(
    "run",
    [
        with_reply(message_id="of another run"),
        with_reply(node_id="12"),
        with_reply(node_id="a node"),
        with_reply(reply_id="another reply"),
        with_reply(commit=FIRST),
        lambda: witnessed(replace(TOLD, run_id="8")),
    ],
)
def test_a_record_that_was_overwritten_is_found(run: Callable[[], RunEvidence]) -> None:
    found = [each for each in contradictions(run()) if each.kind == "record-overwritten"]
    assert [each.level for each in found] == [Level.BROKEN]


def test_a_reply_that_was_never_accepted_is_no_reply() -> None:
    run = witnessed()
    run.node(11).deliveries[1] = replace(run.node(11).deliveries[1], answered_at=0.0)
    (finding,) = contradictions(run)
    assert "none was accepted" in finding.text


def test_messages_without_a_reply_are_no_contradiction() -> None:
    run = with_reply(error="no reply", message_id="never sent", commit=None)()
    assert list(contradictions(run)) == []
