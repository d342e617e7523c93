"""Stores that were really copied, and are used twice: each is found, and named for what it is."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.contract.flower.in_process_supernode import SteppingNode
from tests.contract.flower.test_witnessed_runs import Federation, kinds

from fedstate.verify.report import Report


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[tuple[Federation, ExitStack]]:
    (tmp_path / "link").mkdir()
    with ExitStack() as stack:
        yield Federation(tmp_path, stack), stack


def copy_of(federation: Federation, stack: ExitStack, *, same_key: bool) -> SteppingNode:
    """Start a SuperNode on a copy of the first node's state directory, as `cp -r` makes one."""
    node = federation.nodes[0]
    directory = federation.directory / "copy"
    shutil.copytree(node.directory, directory)
    if not same_key:
        (directory / "session").unlink()
    second = SteppingNode(directory, federation.superlink, node.keys if same_key else None)
    return stack.enter_context(second)


def verify_through(federation: Federation, *nodes: SteppingNode) -> Report:
    """Verify while these nodes answer."""
    federation.nodes[:] = nodes
    return federation.verify()


def test_a_copy_under_another_key_is_found_by_the_nodes_that_share_the_store(
    federation: tuple[Federation, ExitStack],
) -> None:
    """The command refuses such a store; this SuperNode is one that does not ask."""
    made, stack = federation
    first, other = made.nodes
    copy = copy_of(made, stack, same_key=False)
    assert copy.store.store_id == first.store.store_id
    assert copy.node_id != first.node_id
    made.step(made.runs[0], copy, 9)
    report = verify_through(made, first, other, copy)
    assert report.exit_code == 1
    found = [each for each in report.findings if each.kind == "copied-store"]
    assert {each.place.node_id for each in found} == {first.node_id, copy.node_id}
    assert all(
        str(first.node_id) in each.text and str(copy.node_id) in each.text for each in found
    )


@pytest.mark.parametrize("who_answers", ["the original", "the copy"])
def test_a_copy_under_the_same_key_is_found_by_its_signatures(
    federation: tuple[Federation, ExitStack], who_answers: str
) -> None:
    """Both go on with one session: the SuperLink takes them for one node."""
    made, stack = federation
    first, other = made.nodes
    copy = copy_of(made, stack, same_key=True)
    assert copy.node_id == first.node_id
    for number, node in enumerate((first, copy, first, copy), start=10):
        made.step(made.runs[0], node, number)
    report = verify_through(made, first if who_answers == "the original" else copy, other)
    assert report.exit_code == 1
    (finding,) = (each for each in report.findings if each.kind == "copied-store")
    assert (finding.place.run_id, finding.place.node_id) == (made.runs[0].id, first.node_id)
    # The other run, and the other node, have nothing to do with it.
    assert {each.place.node_id for each in report.findings if each.level} == {first.node_id}


def test_a_backup_that_goes_on_after_the_original_has_ended_is_an_older_one(
    federation: tuple[Federation, ExitStack],
) -> None:
    made, stack = federation
    first, other = made.nodes
    copy = copy_of(made, stack, same_key=True)
    made.step(made.runs[0], first, 10)
    for number in (11, 12):
        made.step(made.runs[0], copy, number)
    report = verify_through(made, copy, other)
    assert "older-backup" in kinds(report)
    assert "copied-store" not in kinds(report)
