"""A node whose key was replaced: which of its keys vouches for which of its rows."""

import pytest

from fedstate.verify.evidence import FormerKey
from fedstate.verify.report import Report
from fedstate.witness import Receipt
from tests.unit.verify.lies import NODE, RUN, SECOND
from tests.unit.verify.made import World, fresh, public, resigned

BEFORE = "the key before"
# Row n of the log of the node's store is of 1000 + n.
REPLACED_AT = 1004.5
CLOCK_SECONDS = 5


@pytest.fixture
def world() -> World:
    """A node whose key was replaced in the middle of its runs."""
    world = fresh()
    for run in world.evidence.runs:
        of_node = run.nodes[NODE]
        for number, receipt in enumerate(of_node.rows):
            if receipt.record.time < REPLACED_AT:
                put(world, run.run_id, number, resigned(receipt, BEFORE))
    world.evidence.former_keys = {NODE: [FormerKey(public(BEFORE), REPLACED_AT)]}
    return world


def put(world: World, run_id: int, number: int, receipt: Receipt) -> None:
    of_node = world.of(run_id, NODE)
    of_node.rows[number] = of_node.receipts[number] = receipt


def broken(report: Report) -> set[tuple[str, int]]:
    return {(each.kind, each.step or 0) for each in report.findings}


def test_rows_of_before_are_vouched_for_by_the_key_of_before(world: World) -> None:
    report = world.verify()
    assert (list(report.findings), report.exit_code) == ([], 0)


def test_without_the_former_key_they_are_a_strangers(world: World) -> None:
    world.evidence.former_keys = {}
    assert {kind for kind, _ in broken(world.verify())} == {"not-signed-by-node"}


def test_the_new_key_vouches_for_rows_of_before_that_were_not_signed(world: World) -> None:
    of_node = world.of(RUN, NODE)
    put(world, RUN, 0, resigned(of_node.rows[0], NODE))
    assert world.verify().exit_code == 0


def test_a_row_that_a_replaced_key_has_signed_afterwards_is_broken(world: World) -> None:
    row = world.of(RUN, NODE).rows[-1]
    late = REPLACED_AT + CLOCK_SECONDS + 0.1
    put(world, RUN, 3, resigned(row, BEFORE, time=late))
    report = world.verify()
    assert report.exit_code == 1
    (found,) = [each for each in report.findings if each.kind == "replaced-key"]
    assert (found.check, found.step) == ("isolation", 4)
    assert "signed with a key of the node that had been replaced" in str(found)


def test_a_clock_that_is_a_little_ahead_is_not_a_lie(world: World) -> None:
    row = world.of(RUN, NODE).rows[-1]
    soon = REPLACED_AT + CLOCK_SECONDS - 0.1
    put(world, RUN, 3, resigned(row, BEFORE, time=soon))
    assert "replaced-key" not in {kind for kind, _ in broken(world.verify())}


def test_a_former_key_is_its_own_nodes_alone(world: World) -> None:
    row = world.of(RUN, SECOND).rows[0]
    of_node = world.of(RUN, SECOND)
    of_node.rows[0] = of_node.receipts[0] = resigned(row, BEFORE)
    assert ("not-signed-by-node", 1) in broken(world.verify())
