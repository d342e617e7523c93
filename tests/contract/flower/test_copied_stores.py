"""Stores that were really copied, and are used twice: each is found, and named for what it is."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.contract.flower.in_process_supernode import SteppingNode
from tests.contract.flower.test_witnessed_runs import Federation, kinds

from fedstate.verify.report import Report


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    (tmp_path / "link").mkdir()
    with ExitStack() as stack:
        made = Federation(tmp_path, stack)
        yield made


def copy_of(federation: Federation) -> Path:
    """Copy the state directory of the first node, which goes on, as `cp -r` does."""
    directory = federation.directory / "copy"
    shutil.copytree(federation.nodes[0].directory, directory)
    return directory


@contextmanager
def online(federation: Federation, directory: Path, keys: Any = None) -> Iterator[SteppingNode]:
    """Start a SuperNode in a directory; no other with its key may be online."""
    with SteppingNode(directory, federation.superlink, keys) as node:
        yield node


def verify_through(federation: Federation, *nodes: SteppingNode) -> Report:
    """Verify while these nodes answer."""
    federation.nodes[:] = nodes
    return federation.verify()


def test_a_copy_under_another_key_is_found_by_the_nodes_that_share_the_store(
    federation: Federation,
) -> None:
    """The command refuses such a store; this SuperNode is one that does not ask."""
    first, other = federation.nodes
    with online(federation, copy_of(federation)) as copy:
        assert copy.store.store_id == first.store.store_id
        assert copy.node_id != first.node_id
        federation.step(federation.runs[0], copy, 9)
        report = verify_through(federation, first, other, copy)
    assert report.exit_code == 1
    found = [each for each in report.findings if each.kind == "copied-store"]
    assert {each.place.node_id for each in found} == {first.node_id, copy.node_id}
    assert all(
        str(first.node_id) in each.text and str(copy.node_id) in each.text for each in found
    )


def take_turns(federation: Federation, stack: ExitStack, who: str) -> SteppingNode:
    """Let SuperNodes on the store and on its copy take turns; return the last one.

    They have one key, and so the SuperLink takes them for one node. It admits one at a time.
    """
    first = federation.nodes[0]
    directories = {"o": first.directory, "c": copy_of(federation)}
    federation.closing[0].close()
    for number, letter in enumerate(who, start=10):
        with ExitStack() as turn:
            node = turn.enter_context(online(federation, directories[letter], first.keys))
            assert node.node_id == first.node_id
            federation.step(federation.runs[0], node, number)
            if number == 9 + len(who):
                stack.push(turn.pop_all())
    return node


@pytest.mark.parametrize("who", ["oco", "ococ"])
def test_a_copy_under_the_same_key_is_found_by_its_signatures(
    federation: Federation, who: str
) -> None:
    """Whichever of them answers: here it is the original, and there it is the copy."""
    first, other = federation.nodes
    with ExitStack() as stack:
        last = take_turns(federation, stack, who)
        report = verify_through(federation, last, other)
    assert report.exit_code == 1
    (finding,) = (each for each in report.findings if each.kind == "copied-store")
    assert finding.place.run_id == federation.runs[0].id
    assert finding.place.node_id == first.node_id
    # The other node has nothing to do with it.
    assert {each.place.node_id for each in report.findings if each.level} == {first.node_id}


def test_a_backup_that_goes_on_after_the_original_has_ended_is_an_older_one(
    federation: Federation,
) -> None:
    _, other = federation.nodes
    with ExitStack() as stack:
        last = take_turns(federation, stack, "occ")
        report = verify_through(federation, last, other)
    assert "older-backup" in kinds(report)
    assert "copied-store" not in kinds(report)
