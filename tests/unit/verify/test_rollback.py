"""A run that its node's operator has rolled back: told, not hidden, and not broken."""

from collections.abc import Callable

import pytest

from fedstate.verify.findings import Level
from fedstate.verify.persistence import EMPTY
from fedstate.verify.rollback import undone
from fedstate.verify.steps import put_together
from fedstate.verify.told import Entry, Holding, Reply, ToldRun
from fedstate.witness import ROLLED_BACK, Receipt
from tests.unit.verify.lies import NODE, RUN
from tests.unit.verify.made import World, digest, exchange, fresh, note


def stored(world: World, number: int) -> bytes:
    return world.of(RUN, NODE).rows[number - 1].record.stored if number else EMPTY


def roll_back(world: World, number: int, state: bytes | None = None) -> Receipt:
    state = stored(world, number) if state is None else state
    return note(world.run(RUN), world.nodes[NODE], ROLLED_BACK, state, (RUN, number))


def go_on(world: World, name: str) -> Receipt:
    receipt = exchange(world.run(RUN), world.nodes[NODE], f"message {name}", name)
    world.refresh()
    return receipt


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("goes_on", [False, True])
def test_it_is_said_to_which_step_and_no_promise_is_broken(number: int, goes_on: bool) -> None:
    world = fresh()
    roll_back(world, number)
    world.refresh()
    if goes_on:
        go_on(world, "again")
    report = world.verify()
    (finding,) = report.findings
    where = f"to step {number}" if number else "to its beginning"
    assert str(finding) == (
        f"run {RUN}, node {NODE}, step 5: rolled back by the node's operator {where}."
    )
    assert (finding.check, finding.kind) == ("persistence", "rolled-back")
    assert (finding.level, report.exit_code) == (Level.TOLD, 0)
    (node,) = [each for each in report.runs[0].nodes if each.node_id == NODE]
    # What the operator did is no step.
    assert (node.steps, node.failed) == (4 + goes_on, 0)
    assert node.rows is not None
    assert [row["outcome"] for row in node.rows][4] == "rolled back"
    assert (node.rows[4]["source_run"], node.rows[4]["source_step"]) == (str(RUN), number)


def lies_of_a_rollback() -> dict[str, tuple[Callable[[World], object], str]]:
    def dropped(world: World) -> None:
        roll_back(world, 2)
        go_on(world, "again")
        of_node = world.of(RUN, NODE)
        del of_node.rows[4], of_node.receipts[4]

    def before_the_first(world: World) -> None:
        roll_back(world, 2)
        exchange(world.run(RUN), world.nodes[NODE], "m", "m", handed_out=digest("another"))

    def with_the_rows_of_no_step(world: World) -> None:
        go_on_without = world.nodes[NODE]
        go_on_without.states[RUN] = stored(world, 2)
        go_on(world, "again")

    return {
        "to another state than it says": (
            lambda world: roll_back(world, 2, digest("somebody's")),
            "false-rollback",
        ),
        "to the state of another step": (
            lambda world: roll_back(world, 2, stored(world, 3)),
            "false-rollback",
        ),
        "to a state of another run": (
            lambda world: note(
                world.run(RUN), world.nodes[NODE], ROLLED_BACK, stored(world, 2), (999, 2)
            ),
            "false-rollback",
        ),
        "hidden": (with_the_rows_of_no_step, "older-state"),
        "its row is dropped": (dropped, "dropped-row"),
        "and another state is handed out": (before_the_first, "other-state"),
    }


@pytest.mark.parametrize("name", list(lies_of_a_rollback()))
def test_what_is_not_so_is_found(name: str) -> None:
    tell, kind = lies_of_a_rollback()[name]
    world = fresh()
    tell(world)
    world.refresh()
    report = world.verify()
    assert report.exit_code == 1
    assert kind in {finding.kind for finding in report.findings if finding.level > Level.TOLD}


@pytest.mark.parametrize(
    ("moves", "taken_back"),
    [
        ([2], {3, 4}),
        ([0], {1, 2, 3, 4}),
        ([2, "a"], {3, 4}),  # step 6 follows from step 2
        ([2, 4], set()),  # and forward again
        ([2, "a", 3], {4, "a"}),
        ([2, "a", 5], {3, 4, "a"}),  # the state of the rollback itself
        ([2, 1], {2, 3, 4}),
    ],
)
def test_what_was_taken_back(moves: list[int | str], taken_back: set[int | str]) -> None:
    world = fresh()
    for move in moves:
        if isinstance(move, int):
            roll_back(world, move)
        else:
            go_on(world, move)
    steps = put_together(RUN, world.of(RUN, NODE))
    names = {
        f"message {each}" if isinstance(each, str) else f"message {RUN} {NODE} {each}"
        for each in taken_back
    }
    assert undone(steps) == names


def entry(sequence: int, message: str, parent: str) -> Entry:
    fields = (sequence, str(RUN), str(NODE), sequence, message, parent, f"digest {sequence}")
    return Entry(*fields)


@pytest.mark.parametrize("rolled_back", [True, False])
def test_an_apps_ledger_goes_back_with_its_state(rolled_back: bool) -> None:
    world = fresh()
    if rolled_back:
        roll_back(world, 2)
        world.refresh()
    entries, parent = [], ""
    for number in range(1, 5):
        entries.append(entry(number, f"message {RUN} {NODE} {number}", parent))
        parent = entries[-1].digest
    replies = tuple(
        Reply(str(NODE), each.round, "train", each.message_id, each, None) for each in entries
    )
    holding = Holding(str(NODE), 0, entries[1].digest, {}, tuple(entries[:2]))
    world.run(RUN).told = ToldRun(str(RUN), "", "", {}, replies, (holding,), {})
    report = world.verify()
    assert report.exit_code == (0 if rolled_back else 1)
