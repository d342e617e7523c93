"""A SuperLink, a run and a node in this process, for tests of what flwr does with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.flower.in_process import SuperLink
from tests.contract.flower.in_process_run import Node, Run, running
from tests.contract.flower.in_process_supernode import SteppingNode, SuperNode


@pytest.fixture(scope="session")
def superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    """One SuperLink for all tests: each has a run and a node of its own."""
    with SuperLink(tmp_path_factory.mktemp("superlink")) as superlink:
        yield superlink


@pytest.fixture
def run_and_node(superlink: SuperLink) -> Iterator[tuple[Run, Node]]:
    with running(superlink) as both:
        yield both


@pytest.fixture
def run(run_and_node: tuple[Run, Node]) -> Run:
    return run_and_node[0]


@pytest.fixture
def node(run_and_node: tuple[Run, Node]) -> Node:
    return run_and_node[1]


@pytest.fixture
def supernode(tmp_path: Path) -> Iterator[SuperNode]:
    with SuperNode(tmp_path / "supernode") as supernode:
        supernode.add_run(1)
        yield supernode


@pytest.fixture
def stepping_node(tmp_path: Path, superlink: SuperLink) -> Iterator[SteppingNode]:
    """Our SuperNode as a whole, online at the SuperLink."""
    with SteppingNode(tmp_path / "node", superlink) as node:
        yield node


@pytest.fixture(scope="module", params=["superlink.db", ":flwr-in-memory:"])
def any_state(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SuperLink]:
    """Our SuperLink, on both of its states."""
    directory = tmp_path_factory.mktemp("superlink")
    name = request.param if request.param.startswith(":") else str(directory / request.param)
    with SuperLink(directory, database=name) as superlink:
        yield superlink


@pytest.fixture
def both(any_state: SuperLink) -> Iterator[tuple[Run, Node]]:
    """A run and a node of it, on both of the states."""
    with running(any_state) as both:
        yield both
