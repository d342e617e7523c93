"""What was kept passes, and each way to lie is caught by name, where it was told."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedstate.store.room import full
from fedstate.verify.evidence import AWAY, WITHOUT_A_LOG, NodeAnswer, RunEvidence
from fedstate.verify.findings import Finding, Level
from fedstate.verify.report import Report
from tests.unit.verify.lies import (
    LIES,
    NODE,
    OTHER,
    RUN,
    SECOND,
    a_row_is_altered_everywhere,
    a_step_is_handed_the_state_of_another_run,
    told,
)
from tests.unit.verify.made import (
    NODES,
    exchange,
    fresh,
    kept,
    verified,
)


def bad(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.level > Level.TOLD]


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in bad(report)}


def test_what_was_kept_passes() -> None:
    report = fresh().verify()
    assert (list(report.findings), report.exit_code) == ([], 0)
    assert report.signatures == 16


def test_one_signature_of_each_store_is_enough() -> None:
    """Rows name those before them in their run and in their store, whatever batch they are in."""
    report = fresh().verify(budget=0)
    assert (report.exit_code, report.signatures) == (0, len(NODES))
    world = fresh()
    batches = [replace(world.evidence, runs=[run]) for run in reversed(world.evidence.runs)]
    report = verified(batches, budget=0)
    assert (report.exit_code, report.signatures) == (0, len(NODES))


def test_a_row_that_nothing_leads_to_is_judged_by_its_own_signature() -> None:
    world = fresh()
    a_row_is_altered_everywhere(world)
    found = [each for each in bad(world.verify(budget=0)) if each.kind == "not-signed-by-node"]
    assert [each.step for each in found] == [3]


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_caught_by_name(name: str) -> None:
    tell, check, kind = LIES[name]
    world = fresh()
    tell(world)
    report = world.verify()
    assert report.exit_code == 1
    found = [each for each in report.findings if (each.check, each.kind) == (check, kind)]
    assert found, [str(each) for each in bad(report)]
    assert all(each.level == Level.BROKEN for each in found)
    about = {(each.place.run_id, each.place.node_id) for each in found}
    assert about <= {
        *((run_id, node_id) for run_id in (RUN, OTHER, 103) for node_id in (NODE, SECOND)),
        (RUN, None),
    }
    assert all(str(each.place) in str(each) for each in found)


@pytest.mark.parametrize("name", sorted(LIES.keys() - {"a_second_node_uses_a_copied_store"}))
def test_who_has_not_lied_is_not_blamed(name: str) -> None:
    """The other node in the other run has nothing to do with any of it."""
    tell, _, _ = LIES[name]
    world = fresh()
    tell(world)
    innocent = [
        each
        for each in bad(world.verify())
        if (each.place.run_id, each.place.node_id) == (OTHER, SECOND)
    ]
    assert not innocent


def test_there_are_more_than_twenty_ways() -> None:
    assert len(LIES) > 20


# What is no lie.


def test_equal_seeds_give_equal_states_and_no_leak() -> None:
    world = kept(runs=(), rounds=0)
    for run_id in (RUN, OTHER):
        run = RunEvidence(run_id, run_id, "finished:completed")
        for number in range(3 if run_id == RUN else 2):
            for node in world.nodes.values():
                exchange(run, node, f"{run_id} {node.node_id} {number}", f"equal {number}")
        world.evidence.runs.append(run)
    world.refresh()
    assert bad(world.verify()) == []


def test_an_app_that_keeps_nothing_passes() -> None:
    world = kept(runs=(), rounds=0)
    for run_id in (RUN, OTHER):
        run = RunEvidence(run_id, run_id, "finished:completed")
        for number in range(3):
            exchange(run, world.nodes[NODE], f"{run_id} {number}")
        world.evidence.runs.append(run)
    world.refresh()
    assert bad(world.verify()) == []


def test_failed_steps_are_told_and_break_no_promise() -> None:
    world = fresh()
    for message in ("failed", "failed again"):
        exchange(world.run(RUN), world.nodes[NODE], message, reason="ValueError: no data")
    exchange(world.run(RUN), world.nodes[NODE], "after", "after")
    world.refresh()
    report = world.verify()
    assert report.exit_code == 0
    (finding,) = report.findings
    assert str(finding) == ("run 101, node 11: steps 5 to 6 failed: ValueError: no data.")


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("first line\nThe last one.\n", "The last one."),
        ("  ", "no reason given."),
        ("One sentence. " + "more " * 100, "One sentence ..."),
        ("word " * 100, " ".join(["word"] * 80) + " ..."),
        ("x" * 1000, "x" * 400 + " ..."),
    ],
)
def test_a_long_reason_is_not_cut_in_the_middle_of_a_command(reason: str, told: str) -> None:
    world = fresh()
    exchange(world.run(RUN), world.nodes[NODE], "failed", reason=reason)
    world.refresh()
    (finding,) = world.verify().findings
    assert str(finding) == f"run 101, node 11: step 5 failed: {told}"


def test_the_way_out_of_a_full_disk_is_told_as_a_whole() -> None:
    world, reason = (
        fresh(),
        str(full(Path("/srv/federation/nodes/state"), (9_437_184, 3_100_000))),
    )
    exchange(world.run(RUN), world.nodes[NODE], "failed", reason=reason)
    world.refresh()
    (finding,) = world.verify().findings
    assert str(finding).endswith(f"failed: {reason}")
    assert "until 9.48 MB are free (3.1 MB now); the node then" in reason


@pytest.mark.parametrize(
    ("seconds_later", "kind"), [(5, "late-receipt"), (-1, "missing-receipt")]
)
def test_the_receipt_of_a_failure_that_was_logged_late_may_still_come(
    seconds_later: int, kind: str
) -> None:
    """The disk was full: the error was accepted before there was a row."""
    world = fresh()
    receipt = exchange(world.run(RUN), world.nodes[NODE], "after", reason="full")
    of_node = world.of(RUN, NODE)
    answered_at = receipt.record.time - seconds_later
    of_node.deliveries[-1] = replace(of_node.deliveries[-1], answered_at=answered_at)
    del of_node.receipts[-1]
    world.refresh()
    report = world.verify()
    assert kinds(report) == {kind}
    assert report.exit_code == (2 if kind == "late-receipt" else 1)


def test_a_message_that_failed_and_was_sent_again_has_two_rows() -> None:
    world = fresh()
    run, node = world.run(RUN), world.nodes[NODE]
    exchange(run, node, "twice", reason="failed")
    exchange(run, node, "twice", "at last")
    # The first attempt was not answered: it has no receipt.
    del world.of(RUN, NODE).receipts[-2], world.of(RUN, NODE).deliveries[-2]
    world.refresh()
    assert bad(world.verify()) == []


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("finished:stopped", "the run ended, or the node was lost, before it had answered"),
        ("running", "under way"),
    ],
)
def test_a_message_that_was_not_answered_is_told(status: str, why: str) -> None:
    world = fresh()
    world.run(RUN).status = status
    of_node = world.of(RUN, NODE)
    of_node.deliveries.append(
        replace(of_node.deliveries[-1], message_id="no answer", answered_at=0.0)
    )
    report = world.verify()
    assert report.exit_code == 0
    (finding,) = report.findings
    assert (finding.kind, finding.level) == ("not-answered", Level.TOLD)
    assert why in finding.text


def test_a_node_that_is_away_is_not_asked_and_not_blamed() -> None:
    world = fresh()
    world.evidence.answers[NODE] = NodeAnswer(AWAY)
    for run in world.evidence.runs:
        run.nodes[NODE].rows.clear()
        run.nodes[NODE].log = None
    report = world.verify()
    assert report.exit_code == 2
    assert kinds(report) == {"node-not-asked"}
    assert "the node is away" in str(bad(report)[0])


def test_a_node_that_is_away_with_a_lie_among_its_receipts_is_caught() -> None:
    world = fresh()
    a_row_is_altered_everywhere(world)
    world.evidence.answers[NODE] = NodeAnswer(AWAY)
    world.of(RUN, NODE).rows.clear()
    assert world.verify().exit_code == 1


def test_a_reply_that_never_arrived_of_a_node_that_is_away_is_not_known() -> None:
    world = fresh()
    of_node = world.of(RUN, NODE)
    del of_node.receipts[2]
    of_node.rows.clear()
    of_node.deliveries[2] = replace(of_node.deliveries[2], answered_at=0.0)
    world.evidence.answers[NODE] = NodeAnswer(AWAY)
    report = world.verify()
    assert report.exit_code == 2
    assert "missing-receipt" in kinds(report)


def test_flowers_own_supernode_has_no_log() -> None:
    world = fresh()
    for run in world.evidence.runs:
        of_node = run.nodes[NODE]
        of_node.receipts.clear()
        of_node.rows.clear()
        of_node.log = None
    world.evidence.answers[NODE] = NodeAnswer(WITHOUT_A_LOG)
    report = world.verify()
    assert (report.exit_code, kinds(report)) == (2, {"no-log"})


def test_steps_from_before_the_log_are_told() -> None:
    world = fresh()
    of_node = world.of(RUN, NODE)
    early = replace(of_node.deliveries[0], message_id="early", delivered_at=1.0, answered_at=2.0)
    of_node.deliveries.insert(0, early)
    of_node.log = replace(of_node.log, complete=False)  # type: ignore[type-var]
    report = world.verify()
    assert report.exit_code == 0
    assert [each.kind for each in report.findings] == ["before-the-log"]


def test_a_bounded_log_says_so_and_its_receipts_go_on() -> None:
    world = fresh()
    of_node = world.of(RUN, NODE)
    anchor = of_node.rows[1].digest
    of_node.log = replace(of_node.log, pruned=2, anchor=anchor)  # type: ignore[type-var]
    del of_node.rows[:2]
    report = world.verify()
    assert report.exit_code == 0
    assert [each.kind for each in report.findings] == ["pruned"]


def test_a_run_that_was_freed_is_vouched_for_by_its_receipts() -> None:
    world = fresh()
    of_node = world.of(RUN, NODE)
    of_node.rows.clear()
    freed = world.nodes[NODE].log(RUN)
    of_node.log = replace(freed, present=False, pruned=freed.length, anchor=freed.head, held=b"")
    report = world.verify()
    assert report.exit_code == 0
    assert [each.kind for each in report.findings] == ["freed"]


def test_a_run_of_a_series_begins_with_what_the_run_before_it_stored() -> None:
    world = fresh()
    run = RunEvidence(103, RUN, "finished:completed")
    exchange(run, world.nodes[NODE], "of the series", "goes on")
    world.evidence.runs.append(run)
    world.refresh()
    assert bad(world.verify()) == []


def test_a_step_that_a_running_run_makes_meanwhile_is_no_lie() -> None:
    world = fresh()
    world.run(RUN).status = "running"
    of_node = world.of(RUN, NODE)
    exchange(world.run(RUN), world.nodes[NODE], "meanwhile", "meanwhile")
    # The node's answer is newer than the SuperLink's.
    del of_node.deliveries[-1], of_node.receipts[-1]
    of_node.later.add("meanwhile")
    world.refresh()
    assert bad(world.verify()) == []


def test_the_source_of_a_state_is_found_in_a_batch_that_comes_later() -> None:
    world = fresh()
    a_step_is_handed_the_state_of_another_run(world)
    batches = [replace(world.evidence, runs=[run]) for run in world.evidence.runs]
    assert "leaked-state" in kinds(verified(batches))


def test_a_record_that_says_what_the_superlink_says_is_no_lie() -> None:
    world = fresh()
    world.run(RUN).told = told(world)
    assert bad(world.verify()) == []


def test_a_run_that_no_superlink_has_witnessed_is_not_known() -> None:
    world = fresh()
    world.evidence.runs = [RunEvidence(RUN, RUN, "finished:completed", witnessed=False)]
    report = world.verify()
    assert (report.exit_code, kinds(report)) == (2, {"no-evidence"})
