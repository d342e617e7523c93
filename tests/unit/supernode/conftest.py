"""A node at our SuperLink, a run, and the node's log, for the tests of steps."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # most tests need no SuperLink, which takes seconds to import
    from collections.abc import Iterator

    from tests.unit.superlink_in_process import SuperLink
    from tests.unit.supernode.stepping import Node


@pytest.fixture
def stepping_node(superlink: SuperLink, tmp_path: Path) -> Iterator[Node]:
    from tests.unit.supernode.stepping import Node

    node = Node(superlink, tmp_path / "node")
    with closing(node.session):
        yield node
        node.kill()
        node.membership.leave(for_good=True)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    return caplog


@pytest.fixture
def run_id(superlink: SuperLink) -> int:
    return superlink.start_run()
