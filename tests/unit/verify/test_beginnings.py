"""Runs that began with the state of another run: as asked, or a leak."""

import pytest

from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.findings import Level
from fedstate.verify.persistence import EMPTY
from fedstate.verify.report import Report
from fedstate.verify.verifier import Verifier
from fedstate.witness import BEGUN
from tests.unit.verify.lies import NODE, RUN
from tests.unit.verify.made import World, digest, exchange, fresh, note

NEW, NEWER = 103, 104


def begin(
    world: World, source: tuple[int, int] = (RUN, 3), run_id: int = NEW, **how: object
) -> RunEvidence:
    """Let a run begin from a state of another one, and make a step."""
    run = RunEvidence(run_id, run_id, "finished:completed")
    world.evidence.runs.append(run)
    rows = world.of(source[0], NODE).rows
    state = how.get("state", rows[source[1] - 1].record.stored if source[1] else EMPTY)
    assert isinstance(state, bytes)
    asked = how.get("asked", f"{source[0]}@{source[1]}")
    run.from_run = asked if isinstance(asked, str) else None
    note(run, world.nodes[NODE], BEGUN, state, source)
    exchange(run, world.nodes[NODE], f"message {run_id}", f"of {run_id}")
    world.refresh()
    return run


def one(report: Report) -> str:
    (finding,) = report.findings
    return str(finding)


@pytest.mark.parametrize("asked", ["101", "1", "101@3", None])
def test_it_is_no_leak(asked: str | None) -> None:
    world = fresh()
    begin(world, asked=asked)
    report = world.verify()
    assert one(report) == (
        f"run {NEW}, node {NODE}, step 1: began from run {RUN}'s state at step 3, as asked."
    )
    assert report.exit_code == 0
    (finding,) = report.findings
    assert (finding.check, finding.kind) == ("isolation", "began-from-a-run")


def test_from_its_beginning_and_from_a_run_that_began_so_itself() -> None:
    world = fresh()
    begin(world, (RUN, 0))
    assert "state at its beginning, as asked" in one(world.verify())
    world = fresh()
    begin(world)
    begin(world, (NEW, 1), NEWER)
    report = world.verify()
    assert {finding.level for finding in report.findings} == {Level.TOLD}
    assert f"began from run {NEW}'s state at step 1" in str(list(report.findings)[-1])


def test_nodes_may_have_had_equal_states() -> None:
    world = fresh()
    counting = RunEvidence(NEWER, NEWER, "finished:completed")
    world.evidence.runs.append(counting)
    for node in world.nodes.values():
        exchange(counting, node, f"m {node.node_id}", "equal")
    run = RunEvidence(NEW, NEW, "finished:completed", from_run=str(NEWER))
    world.evidence.runs.append(run)
    for node in world.nodes.values():
        note(run, node, BEGUN, world.of(NEWER, node.node_id).rows[0].record.stored, (NEWER, 1))
    world.refresh()
    report = world.verify()
    assert [finding.kind for finding in report.findings] == ["began-from-a-run"] * 2


@pytest.mark.parametrize("asked", ["", "102", "101@2", "101@33"])
def test_what_nobody_has_asked_for_is_a_leak(asked: str) -> None:
    world = fresh()
    begin(world, asked=asked)
    report = world.verify()
    assert report.exit_code == 1
    found = {finding.kind: str(finding) for finding in report.findings if finding.level > 0}
    assert list(found) == ["beginning-not-asked-for"]
    what = f"for '{asked}'" if asked else "for none"
    assert f"the run had asked {what}" in found["beginning-not-asked-for"]


@pytest.mark.parametrize(("source", "state"), [((RUN, 3), b"x" * 32), ((RUN, 0), b"x" * 32)])
def test_a_state_that_the_other_run_has_not_stored_is_found(
    source: tuple[int, int], state: bytes
) -> None:
    world = fresh()
    begin(world, source, state=state)
    report = world.verify()
    assert report.exit_code == 1
    assert "false-beginning" in {finding.kind for finding in report.findings}


def test_another_state_than_the_row_says_is_a_break() -> None:
    world = fresh()
    run = begin(world)
    node = world.nodes[NODE]
    node.states[NEWER] = world.of(RUN, NODE).rows[1].record.stored
    other = RunEvidence(NEWER, NEWER, "finished:completed", from_run=str(RUN))
    world.evidence.runs.append(other)
    note(other, node, BEGUN, world.of(RUN, NODE).rows[2].record.stored, (RUN, 3))
    exchange(other, node, "m", "m", handed_out=digest("somebody's"))
    world.refresh()
    report = world.verify()
    broken = [each for each in report.findings if each.level is Level.BROKEN]
    assert [(each.place.run_id, each.kind) for each in broken] == [(NEWER, "other-state")]
    assert run.run_id == NEW


def test_a_run_does_not_begin_twice() -> None:
    world = fresh()
    run = begin(world)
    note(run, world.nodes[NODE], BEGUN, world.of(RUN, NODE).rows[0].record.stored, (RUN, 1))
    world.refresh()
    assert "begun-anew" in {each.kind for each in world.verify().findings if each.level > 0}


@pytest.mark.parametrize(("alone", "exit_code"), [(False, 2), (True, 0)])
def test_a_run_that_is_gone_cannot_be_compared(alone: bool, exit_code: int) -> None:
    world = fresh()
    run = begin(world)
    run.node_alone, run.witnessed = alone, not alone
    world.evidence.runs = [run]
    report = world.verify()
    assert report.exit_code == exit_code
    assert "the steps of that run are not there to compare" in one(report)


def test_the_other_run_is_looked_for_among_those_that_are_not_verified() -> None:
    world = fresh()
    begin(world)
    old = Evidence(world.evidence.runs[:-1])
    world.evidence.runs = world.evidence.runs[-1:]
    verifier = Verifier()
    verifier.add(world.evidence)
    assert verifier.seeks_sources
    report = verifier.finish(lambda: [old])
    assert report.exit_code == 0
    assert "as asked." in one(report)
