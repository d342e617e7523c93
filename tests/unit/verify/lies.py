"""Ways to lie about what was kept: each changes evidence that was sound, or its makers."""

import copy
from collections.abc import Callable
from dataclasses import replace

from fedstate.verify.evidence import RunEvidence
from fedstate.verify.told import Entry, Reply, ToldRun
from fedstate.witness import Receipt
from tests.unit.verify.made import World, altered, digest, exchange, resigned

RUN, OTHER = 101, 102
NODE, SECOND = 11, 12

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


@lie("agreement", "dropped-row")
def the_last_row_is_dropped_before_its_receipt_was_sent(world: World) -> None:
    of_node = world.of(RUN, NODE)
    of_node.deliveries[3] = replace(of_node.deliveries[3], answered_at=0.0)
    del of_node.rows[3], of_node.receipts[3]


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
    # Nor the row after it in the store, which would vouch for it.
    for run_id in (RUN, OTHER):
        of_node = world.of(run_id, NODE)
        of_node.rows[3] = of_node.receipts[3] = Receipt(of_node.rows[3].row)


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


@lie("agreement", "copied-store")
def a_copy_of_the_store_goes_on_beside_it(world: World) -> None:
    """Two SuperNodes with one key, which take turns at the messages."""
    node, run = world.nodes[NODE], world.run(RUN)
    second = copy.deepcopy(node)
    second.opening = b"the copy's"
    for number in range(2):
        for which in (node, second):
            which.sequence = max(node.sequence, second.sequence)
            exchange(run, which, f"{which.opening!r} {number}", f"{which.opening!r} {number}")
    of_node = world.of(RUN, NODE)
    of_node.rows[:] = [row for row in of_node.rows if row.record.opening != second.opening]
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
