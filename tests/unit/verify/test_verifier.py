"""What was kept passes, and each way to lie is caught by name, where it was told."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedstate.verify.evidence import AWAY, WITHOUT_A_LOG, NodeAnswer, RunEvidence
from fedstate.verify.findings import Finding, Level
from fedstate.verify.report import Report
from fedstate.verify.told import Entry, Reply, ToldRun
from fedstate.witness import Receipt
from tests.unit.verify.made import (
    World,
    altered,
    digest,
    exchange,
    fresh,
    kept,
    resigned,
    verified,
)

RUN, OTHER = 101, 102
NODE, SECOND = 11, 12


def bad(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.level > Level.TOLD]


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in bad(report)}


def test_what_was_kept_passes() -> None:
    report = fresh().verify()
    assert (list(report.findings), report.exit_code) == ([], 0)
    assert report.signatures == 16


def test_one_signature_of_each_chain_is_enough() -> None:
    report = fresh().verify(budget=0)
    assert (report.exit_code, report.signatures) == (0, 4)


def test_a_row_that_nothing_leads_to_is_judged_by_its_own_signature() -> None:
    world = fresh()
    a_row_is_altered_everywhere(world)
    found = [each for each in bad(world.verify(budget=0)) if each.kind == "not-signed-by-node"]
    assert [each.step for each in found] == [3]


Lie = Callable[[World], None]
LIES: dict[str, tuple[Lie, str, str]] = {}


def lie(check: str, kind: str) -> Callable[[Lie], Lie]:
    """Note a way to lie, the check that it fails, and the name that it is given."""

    def note(function: Lie) -> Lie:
        LIES[function.__name__] = (function, check, kind)
        return function

    return note


def replace_everywhere(world: World, number: int, new: Receipt) -> None:
    """Replace the row of a step in the node's log and at the SuperLink."""
    of_node = world.of(RUN, NODE)
    of_node.rows[number - 1] = of_node.receipts[number - 1] = new


def third(world: World) -> Receipt:
    return world.of(RUN, NODE).rows[2]


# Rows: altered, dropped, reordered, replayed, of another run, node and key.


@lie("isolation", "not-signed-by-node")
def a_row_is_altered_everywhere(world: World) -> None:
    replace_everywhere(world, 3, altered(third(world), stored=digest("forged")))


@lie("agreement", "altered-row")
def a_row_is_altered_in_the_nodes_log(world: World) -> None:
    world.of(RUN, NODE).rows[2] = altered(third(world), stored=digest("forged"))


@lie("agreement", "altered-row")
def a_receipt_is_altered_at_the_superlink(world: World) -> None:
    world.of(RUN, NODE).receipts[2] = altered(third(world), app_seconds=9.0)


@lie("completeness", "dropped-row")
def a_row_is_dropped_everywhere(world: World) -> None:
    of_node = world.of(RUN, NODE)
    del of_node.rows[2], of_node.receipts[2]


@lie("agreement", "dropped-row")
def a_row_is_dropped_from_the_nodes_log(world: World) -> None:
    del world.of(RUN, NODE).rows[2]


@lie("agreement", "dropped-row")
def the_last_row_is_dropped_from_the_nodes_log(world: World) -> None:
    del world.of(RUN, NODE).rows[3]


@lie("agreement", "missing-receipt")
def a_receipt_is_dropped_at_the_superlink(world: World) -> None:
    del world.of(RUN, NODE).receipts[2]


@lie("agreement", "missing-receipt")
def all_receipts_of_a_node_are_dropped(world: World) -> None:
    world.of(RUN, NODE).receipts.clear()


@lie("completeness", "reordered-rows")
def rows_are_reordered(world: World) -> None:
    rows = world.of(RUN, NODE).rows
    rows[1], rows[2] = rows[2], rows[1]


@lie("completeness", "replayed-row")
def a_row_is_there_twice(world: World) -> None:
    rows = world.of(RUN, NODE).rows
    rows.append(rows[1])


@lie("completeness", "replayed-message")
def a_message_is_replayed_to_the_node(world: World) -> None:
    node, of_node = world.nodes[NODE], world.of(RUN, NODE)
    again = of_node.deliveries[1].message_id
    exchange(world.run(RUN), node, again, "once more")
    world.refresh()


@lie("completeness", "message-without-row")
def an_old_receipt_stands_in_for_a_new_one(world: World) -> None:
    """A replayed receipt: the last step has the receipt of the first one."""
    of_node = world.of(RUN, NODE)
    of_node.receipts[3] = of_node.receipts[0]
    del of_node.rows[3]
    of_node.log = replace(of_node.log, length=3, head=of_node.rows[2].digest)  # type: ignore[type-var]


@lie("isolation", "foreign-run")
def a_row_of_another_run(world: World) -> None:
    replace_everywhere(world, 3, world.of(OTHER, NODE).rows[2])


@lie("isolation", "foreign-node")
def a_row_of_another_node(world: World) -> None:
    replace_everywhere(world, 3, world.of(RUN, SECOND).rows[2])


@lie("isolation", "foreign-key")
def a_row_with_the_key_of_another_node(world: World) -> None:
    replace_everywhere(world, 3, resigned(third(world), SECOND, stored=digest("forged")))


@lie("isolation", "foreign-key")
def the_same_row_with_the_key_of_another_node(world: World) -> None:
    replace_everywhere(world, 3, resigned(third(world), SECOND))


@lie("isolation", "not-signed-by-node")
def a_row_with_the_key_of_a_stranger(world: World) -> None:
    replace_everywhere(world, 4, resigned(world.of(RUN, NODE).rows[3], "a stranger"))


@lie("isolation", "not-signed-by-node")
def a_row_that_nobody_has_signed(world: World) -> None:
    replace_everywhere(world, 4, Receipt(world.of(RUN, NODE).rows[3].row))


@lie("isolation", "malformed-row")
def bytes_that_are_no_row(world: World) -> None:
    world.of(RUN, NODE).receipts.append(Receipt(b"no row", b"no signature"))


# States: swapped, leaked, older, forged.


@lie("persistence", "held-state-differs")
def the_stored_state_is_changed_by_no_step(world: World) -> None:
    """A history of equal length with other values: another digest."""
    world.nodes[NODE].states[RUN] = digest("other values")
    world.refresh()


@lie("isolation", "swapped-states")
def the_states_of_two_runs_are_swapped(world: World) -> None:
    states = world.nodes[NODE].states
    states[RUN], states[OTHER] = states[OTHER], states[RUN]
    world.refresh()


@lie("isolation", "swapped-states")
def swapped_states_are_trained_on(world: World) -> None:
    node = world.nodes[NODE]
    node.states[RUN], node.states[OTHER] = node.states[OTHER], node.states[RUN]
    for run_id in (RUN, OTHER):
        exchange(world.run(run_id), node, f"after {run_id}", f"after {run_id}")
    world.refresh()


@lie("isolation", "leaked-state")
def a_step_is_handed_the_state_of_another_run(world: World) -> None:
    node = world.nodes[NODE]
    node.states[RUN] = node.states[OTHER]
    exchange(world.run(RUN), node, "after", "after")
    world.refresh()


@lie("isolation", "leaked-state")
def a_run_begins_with_the_state_of_another(world: World) -> None:
    node = world.nodes[NODE]
    run = RunEvidence(103, 103, "running")
    node.states[103] = node.states[OTHER]
    exchange(run, node, "the first", "something")
    world.evidence.runs.append(run)
    world.refresh()


@lie("persistence", "state-of-unknown-origin")
def a_run_begins_with_a_state_that_no_step_has_stored(world: World) -> None:
    node = world.nodes[NODE]
    run = RunEvidence(103, 103, "running")
    node.states[103] = digest("from elsewhere")
    exchange(run, node, "the first", "something")
    world.evidence.runs.append(run)
    world.refresh()


@lie("persistence", "older-state")
def a_step_is_handed_an_older_state_of_its_own(world: World) -> None:
    node = world.nodes[NODE]
    node.states[RUN] = world.of(RUN, NODE).rows[1].record.stored
    exchange(world.run(RUN), node, "after", "after")
    world.refresh()


@lie("persistence", "other-state")
def a_step_is_handed_a_forged_state(world: World) -> None:
    world.nodes[NODE].states[RUN] = digest("forged")
    exchange(world.run(RUN), world.nodes[NODE], "after", "after")
    world.refresh()


@lie("persistence", "forged-step")
def an_output_is_sent_with_a_stolen_token(world: World) -> None:
    """Before the step's own ClientApp has been handed its state."""
    exchange(world.run(RUN), world.nodes[NODE], "after", "forged", handed_out=b"")
    world.refresh()


@lie("persistence", "failure-changed-state")
def a_step_that_failed_left_a_state(world: World) -> None:
    node = world.nodes[NODE]
    exchange(world.run(RUN), node, "after", reason="failed", stored=digest("all the same"))
    world.refresh()


# Stores and databases: older backups, copies, others.


@lie("agreement", "older-backup")
def an_older_backup_is_restored(world: World) -> None:
    of_node, node = world.of(RUN, NODE), world.nodes[NODE]
    del of_node.rows[2:]
    node.lengths[RUN], node.heads[RUN] = 2, of_node.rows[1].digest
    node.states[RUN] = of_node.rows[1].record.stored
    world.refresh()


@lie("agreement", "older-backup")
def an_older_backup_goes_on(world: World) -> None:
    of_node, node = world.of(RUN, NODE), world.nodes[NODE]
    del of_node.rows[2:]
    node.lengths[RUN], node.heads[RUN] = 2, of_node.rows[1].digest
    node.states[RUN] = of_node.rows[1].record.stored
    node.opening = b"restored"
    for message in ("again 3", "again 4", "again 5"):
        exchange(world.run(RUN), node, message, message)
    world.refresh()


@lie("agreement", "older-backup")
def an_older_backup_is_restored_of_a_run_that_was_freed(world: World) -> None:
    node = world.nodes[NODE]
    for run_id in (RUN, OTHER):
        of_node = world.of(run_id, NODE)
        of_node.rows.clear()
        of_node.log = replace(
            node.log(run_id), present=False, pruned=node.lengths[run_id], held=b""
        )
    world.evidence.answers[NODE] = replace(node.answer(), generation=node.generation - 1)


@lie("isolation", "copied-store")
def a_second_node_uses_a_copied_store(world: World) -> None:
    node, second = world.nodes[NODE], world.nodes[SECOND]
    second.store_id = node.store_id
    run = RunEvidence(103, 103, "running")
    exchange(run, second, "the first", "something")
    world.evidence.runs.append(run)
    world.refresh()


@lie("persistence", "store-replaced")
def a_node_goes_on_with_an_empty_store(world: World) -> None:
    node = world.nodes[NODE]
    node.store_id, node.states, node.heads, node.lengths = "new", {}, {}, {}
    exchange(world.run(RUN), node, "after", "after")
    world.run(RUN).status = "running"
    world.refresh()


@lie("completeness", "superlink-rolled-back")
def the_superlinks_database_is_rolled_back(world: World) -> None:
    for node_id in (NODE, SECOND):
        of_node = world.of(RUN, node_id)
        del of_node.deliveries[2:], of_node.receipts[2:]


@lie("completeness", "row-without-delivery")
def a_delivery_is_dropped_at_the_superlink(world: World) -> None:
    del world.of(RUN, NODE).deliveries[2]


@lie("completeness", "row-without-delivery")
def a_node_makes_a_step_that_nobody_asked_for(world: World) -> None:
    of_node = world.of(RUN, NODE)
    exchange(world.run(RUN), world.nodes[NODE], "after", "after")
    del of_node.deliveries[-1]
    world.refresh()


@lie("completeness", "message-without-row")
def a_node_keeps_a_step_from_its_log(world: World) -> None:
    of_node = world.of(RUN, NODE)
    of_node.deliveries.append(replace(of_node.deliveries[-1], message_id="hidden"))


@lie("completeness", "success-told-of-failure")
def a_failed_step_is_answered_as_if_it_had_succeeded(world: World) -> None:
    of_node = world.of(RUN, NODE)
    exchange(world.run(RUN), world.nodes[NODE], "after", reason="failed")
    of_node.deliveries[-1] = replace(of_node.deliveries[-1], failed=False)
    world.refresh()


# What ServerApps write.


def told(world: World, **changes: str) -> ToldRun:
    """Return a record of the run: what the SuperLink knows, too."""
    replies = [
        Reply(
            str(node_id),
            number,
            "train",
            each.message_id,
            Entry(number, str(RUN), str(node_id), number, each.message_id, "", "d"),
            None,
            each.reply_id,
        )
        for node_id in (NODE, SECOND)
        for number, each in enumerate(world.of(RUN, node_id).deliveries, start=1)
    ]
    replies[1] = replace(replies[1], **changes)  # type: ignore[arg-type]
    return ToldRun(str(RUN), "1.42.0", "processes", {}, tuple(replies), (), {})


@lie("agreement", "record-overwritten")
def a_record_is_overwritten_with_other_replies(world: World) -> None:
    world.run(RUN).told = told(world, reply_id="another reply")


@lie("agreement", "record-overwritten")
def a_record_is_overwritten_with_the_messages_of_another_run(world: World) -> None:
    world.run(RUN).told = told(world, message_id="of another run")


@lie("agreement", "record-overwritten")
def a_record_is_overwritten_with_that_of_another_run(world: World) -> None:
    world.run(RUN).told = replace(told(world), run_id=str(OTHER))


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
