"""What a bound drops, on the node, at the SuperLink or on both, is named so; no more is."""

from dataclasses import replace

import pytest

from fedstate.flower.proto.evidence_pb2 import Delivery, EvidencePage, RunAccount
from fedstate.flower.proto.evidence_pb2 import Dropped as DroppedProto
from fedstate.verify.evidence import AWAY, Dropped, NodeAnswer, RunEvidence
from fedstate.verify.findings import Level
from fedstate.verify.superlink import gather
from tests.unit.verify.lies import NODE, RUN
from tests.unit.verify.made import ROUNDS, World, digest, exchange, fresh
from tests.unit.verify.test_verifier import bad, kinds


def drop_at_superlink(world: World, count: int) -> None:
    """Let the SuperLink keep a node's messages of a run but the first ones."""
    of_node = world.of(RUN, NODE)
    gone = of_node.receipts[:count]
    del of_node.receipts[:count], of_node.deliveries[:count]
    if gone:
        store_id = world.nodes[NODE].store_id
        of_node.dropped = Dropped(count, count, store_id, count, gone[-1].digest)


def drop_at_node(world: World, count: int) -> None:
    """Let the node keep the rows of a run but the first ones."""
    of_node = world.of(RUN, NODE)
    assert of_node.log is not None
    if count:
        anchor = of_node.rows[count - 1].digest
        of_node.log = replace(of_node.log, pruned=count, anchor=anchor)
    del of_node.rows[:count]


def away(world: World) -> None:
    for run in world.evidence.runs:
        run.nodes[NODE].rows.clear()
        run.nodes[NODE].log = None
    world.evidence.answers[NODE] = NodeAnswer(AWAY)


@pytest.mark.parametrize("at_superlink", range(ROUNDS + 1))
@pytest.mark.parametrize("at_node", range(ROUNDS + 1))
def test_what_was_dropped_is_told(at_superlink: int, at_node: int) -> None:
    world = fresh()
    drop_at_superlink(world, at_superlink)
    drop_at_node(world, at_node)
    report = world.verify()
    assert bad(report) == []
    told = {each.kind for each in report.findings}
    assert told == {
        *(["dropped-by-the-superlink"] if at_superlink else []),
        *(["pruned"] if at_node else []),
    }


@pytest.mark.parametrize("count", range(1, ROUNDS))
def test_what_was_dropped_is_told_of_a_node_that_is_away(count: int) -> None:
    world = fresh()
    drop_at_superlink(world, count)
    away(world)
    report = world.verify()
    assert (report.exit_code, kinds(report)) == (2, {"node-not-asked"})
    assert "dropped-by-the-superlink" in {each.kind for each in report.findings}
    (finding,) = (each for each in report.findings if each.kind == "dropped-by-the-superlink")
    assert finding.level == Level.TOLD
    assert f"first {count} deliveries and {count} receipts" in finding.text


def test_messages_that_overtook_each_other_at_the_bound_are_no_lie() -> None:
    """The row of the second message was written first; the first message has gone."""
    world = fresh()
    of_node = world.of(RUN, NODE)
    of_node.deliveries[1:3] = of_node.deliveries[2:0:-1]
    second = of_node.receipts.pop(2)
    del of_node.receipts[0], of_node.deliveries[:2]
    of_node.dropped = Dropped(2, 2, world.nodes[NODE].store_id, 3, second.digest)
    assert bad(world.verify()) == []
    away(world)
    assert kinds(world.verify()) == {"node-not-asked"}


def test_what_goes_while_it_is_read_is_dropped() -> None:
    """The deliveries were read, then two went with their receipts, then those were read."""
    deliveries = [
        Delivery(run_id=RUN, node_id=NODE, message_id=f"m{number}", answered_at=number != 1)
        for number in range(5)
    ]
    before = DroppedProto(run_id=RUN, node_id=NODE, deliveries=7)
    after = DroppedProto(run_id=RUN, node_id=NODE, deliveries=9, step=3)
    pages = [
        EvidencePage(runs=[RunAccount(run_id=RUN)], dropped=[before]),
        EvidencePage(deliveries=deliveries),
        EvidencePage(dropped=[after]),
    ]
    (run,) = gather(pages).runs
    assert [each.message_id for each in run.nodes[NODE].deliveries] == ["m1", "m3", "m4"]
    assert (run.nodes[NODE].dropped.deliveries, run.nodes[NODE].dropped.step) == (9, 3)


def test_a_message_that_was_dropped_before_its_receipt_had_come_is_no_lie() -> None:
    """Its reply was lost when the node was killed; the SuperLink has waited a week for it."""
    world = fresh()
    of_node = world.of(RUN, NODE)
    anchor = of_node.receipts[0].digest
    drop_at_superlink(world, 2)
    of_node.dropped = Dropped(2, 1, world.nodes[NODE].store_id, 1, anchor)
    world.run(RUN).submitted_at = 900.0
    assert bad(world.verify()) == []


# A bound excuses nothing but what it has dropped.


def test_a_step_that_nobody_asked_for_is_found() -> None:
    world = fresh()
    drop_at_superlink(world, 2)
    exchange(world.run(RUN), world.nodes[NODE], "after", "after")
    del world.of(RUN, NODE).deliveries[-1]
    world.refresh()
    assert "row-without-delivery" in kinds(world.verify())


def test_more_old_rows_than_were_dropped_are_found() -> None:
    world = fresh()
    drop_at_superlink(world, 3)
    of_node = world.of(RUN, NODE)
    of_node.dropped = replace(of_node.dropped, deliveries=2)
    world.run(RUN).submitted_at = 900.0
    assert "row-without-delivery" in kinds(world.verify())


@pytest.mark.parametrize("with_node", [True, False])
def test_a_first_row_that_does_not_follow_from_the_last_that_went_is_found(
    with_node: bool,
) -> None:
    world = fresh()
    drop_at_superlink(world, 2)
    of_node = world.of(RUN, NODE)
    of_node.dropped = replace(of_node.dropped, anchor=digest("another row"))
    if with_node:
        assert kinds(world.verify()) == {"altered-row"}
    else:
        away(world)
        assert kinds(world.verify()) == {"broken-chain", "node-not-asked"}


def test_a_first_row_that_does_not_follow_from_the_nodes_own_anchor_is_found() -> None:
    world = fresh()
    drop_at_superlink(world, 2)
    drop_at_node(world, 2)
    of_node = world.of(RUN, NODE)
    assert of_node.log is not None
    of_node.log = replace(of_node.log, anchor=digest("another row"))
    of_node.dropped = replace(of_node.dropped, step=1)
    assert "broken-chain" in kinds(world.verify())


def test_a_first_row_that_is_not_the_runs_first_is_found() -> None:
    """The rows before it were taken away, and all that follow were counted and signed anew."""
    world = fresh()
    run, node = RunEvidence(103, 103, "running"), world.nodes[NODE]
    node.heads[103] = digest("a row before")
    for number in (1, 2):
        exchange(run, node, f"message {number}", f"state {number}")
    world.evidence.runs.append(run)
    world.refresh()
    found = bad(world.verify())
    assert [(each.kind, each.step) for each in found] == [("broken-chain", 1)]


def test_a_receipt_that_is_missing_behind_the_bound_is_found() -> None:
    world = fresh()
    drop_at_superlink(world, 1)
    drop_at_node(world, 3)
    del world.of(RUN, NODE).receipts[0]
    assert kinds(world.verify()) >= {"message-without-row"}
    away(world)
    assert world.verify().exit_code == 1


def test_receipts_that_are_missing_are_not_excused_by_the_nodes_bound() -> None:
    """The receipts stay when a node's rows go: who has deleted them, has deleted evidence."""
    world = fresh()
    drop_at_node(world, 2)
    del world.of(RUN, NODE).receipts[:2]
    assert kinds(world.verify()) == {"message-without-row"}


def test_the_first_messages_may_not_vanish_from_an_account_that_has_seen_them() -> None:
    world = fresh()
    run, of_node = world.run(RUN), world.of(RUN, NODE)
    run.submitted_at, run.account_began_at = 900.0, 800.0
    del of_node.deliveries[0], of_node.receipts[0]
    assert kinds(world.verify()) == {"row-without-delivery"}
    run.account_began_at = 950.0
    report = world.verify()
    assert bad(report) == []
    assert {each.kind for each in report.findings} == {"before-the-superlinks-account"}
