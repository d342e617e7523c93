"""Each way of tampering with state is caught, and by the check that is named for it."""

from dataclasses import replace

import pytest

from fedstate.verify.evidence import RunEvidence
from fedstate.verify.report import COMPLETED, Report, verify
from tests.unit.verify.runs import NODES, holding, kept, with_holding

FIRST = NODES[0]


@pytest.fixture
def runs() -> list[RunEvidence]:
    return [kept("1", seed=1), kept("2", seed=2)]


def judge(*runs: RunEvidence) -> Report:
    return verify(runs, {run.run_id: COMPLETED for run in runs})


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if not check.passed}


def test_kept_promises_pass(runs: list[RunEvidence]) -> None:
    assert judge(*runs).passed


def test_a_dropped_entry_is_caught(runs: list[RunEvidence]) -> None:
    entries = holding(runs[0], FIRST).entries
    tampered = with_holding(runs[0], FIRST, entries=(entries[0], entries[2]))
    assert {"persistence", "completeness", "agreement"} <= failed(judge(tampered, runs[1]))


def test_a_dropped_last_entry_is_caught(runs: list[RunEvidence]) -> None:
    kept_one = holding(runs[0], FIRST)
    tampered = with_holding(runs[0], FIRST, entries=kept_one.entries[:-1])
    assert {"persistence", "completeness", "agreement"} <= failed(judge(tampered, runs[1]))


def test_swapped_runs_are_caught(runs: list[RunEvidence]) -> None:
    one, two = (holding(run, FIRST) for run in runs)
    first = with_holding(runs[0], FIRST, entries=two.entries, digest=two.digest)
    second = with_holding(runs[1], FIRST, entries=one.entries, digest=one.digest)
    assert {"isolation", "agreement"} <= failed(judge(first, second))


def test_a_reset_state_is_caught(runs: list[RunEvidence]) -> None:
    tampered = with_holding(runs[0], FIRST, entries=(), history=(), digest="")
    assert {"completeness", "agreement"} <= failed(judge(tampered, runs[1]))


def test_an_altered_weight_is_caught(runs: list[RunEvidence]) -> None:
    tampered = with_holding(runs[0], FIRST, digest="0" * 64)
    assert failed(judge(tampered, runs[1])) == {"persistence"}


def test_a_forged_entry_is_caught(runs: list[RunEvidence]) -> None:
    entries = holding(runs[0], FIRST).entries
    forged = (*entries[:2], replace(entries[2], digest="0" * 64))
    tampered = with_holding(runs[0], FIRST, entries=forged, digest="0" * 64)
    assert failed(judge(tampered, runs[1])) == {"agreement"}


def test_an_overlong_history_is_caught(runs: list[RunEvidence]) -> None:
    tampered = with_holding(runs[0], FIRST, history=(4.0, 3.0, 2.0, 1.0))
    assert failed(judge(tampered, runs[1])) == {"persistence"}


def test_state_shared_between_nodes_is_caught(runs: list[RunEvidence]) -> None:
    digest = holding(runs[0], NODES[1]).digest
    entries = holding(runs[0], FIRST).entries
    leaked = (*entries[:2], replace(entries[2], digest=digest))
    tampered = with_holding(runs[0], FIRST, entries=leaked, digest=digest)
    assert "isolation" in failed(judge(tampered, runs[1]))


def test_state_shared_between_runs_is_caught(runs: list[RunEvidence]) -> None:
    inherited = holding(runs[0], FIRST).digest
    entries = holding(runs[1], FIRST).entries
    leaked = (replace(entries[0], parent=inherited), *entries[1:])
    tampered = with_holding(runs[1], FIRST, entries=leaked)
    assert {"persistence", "isolation"} <= failed(judge(runs[0], tampered))


def test_equal_runs_with_one_seed_are_no_leak() -> None:
    assert judge(kept("1", seed=7), kept("2", seed=7)).passed


def test_equal_states_with_other_seeds_are_a_leak() -> None:
    run = replace(kept("2", seed=7), config={"seed": 8})
    assert failed(judge(kept("1", seed=7), run)) == {"isolation"}


def test_a_failed_step_is_named(runs: list[RunEvidence]) -> None:
    replies = tuple(
        replace(reply, commit=None, error="Node Unavailable")
        if (reply.node_id, reply.round, reply.action) == (FIRST, 2, "train")
        else reply
        for reply in runs[0].replies
    )
    report = judge(replace(runs[0], replies=replies), runs[1])
    assert "Node Unavailable" in report.to_json()["checks"][2]["detail"]
    assert "completeness" in failed(report)


def test_a_node_that_was_not_asked_is_named(runs: list[RunEvidence]) -> None:
    tampered = replace(runs[0], holdings=runs[0].holdings[1:], unanswered={FIRST: "gone"})
    report = judge(tampered, runs[1])
    assert failed(report) == {"completeness"}
    assert f"node {FIRST}: what it holds is not known: gone" in str(report.to_json())


def test_a_run_without_training_does_not_pass(runs: list[RunEvidence]) -> None:
    assert failed(judge(replace(runs[0], replies=(), holdings=()))) == {"completeness"}


def test_a_run_that_did_not_complete_does_not_pass(runs: list[RunEvidence]) -> None:
    report = verify(runs, {"1": COMPLETED, "2": "finished:failed"})
    assert failed(report) == {"completeness"}
    assert "run 2: its status is finished:failed" in str(report.to_json())
