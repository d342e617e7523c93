"""A SuperLink in this process for the tests of what a SuperNode does at one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from fedstate.logs import release

if TYPE_CHECKING:  # most tests need no SuperLink, which takes seconds to import
    from fedstate.connection import Connection as SuperLinkConnection
    from fedstate.flower.clients import FleetApi
    from tests.unit.superlink_in_process import Connection, SuperLink


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what a program's start does to Python's logging."""
    yield
    release()


@pytest.fixture(scope="session")
def superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    """Our SuperLink: each test has runs and nodes of its own."""
    from tests.unit.superlink_in_process import SuperLink

    superlink = SuperLink(tmp_path_factory.mktemp("superlink"))
    yield superlink
    superlink.close()


@pytest.fixture(scope="session")
def served_superlink(
    superlink: SuperLink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SuperLinkConnection]:
    """The way to our SuperLink over a port and TLS, for who opens a connection himself."""
    from tests.unit.served import served

    with served(superlink, tmp_path_factory.mktemp("served")) as connection:
        yield connection


@pytest.fixture(scope="session")
def flwrs_superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    """flwr's own SuperLink, which has none of our routes."""
    from tests.unit.superlink_in_process import SuperLink

    superlink = SuperLink(tmp_path_factory.mktemp("flwrs-superlink"), ours=False)
    yield superlink
    superlink.close()


@pytest.fixture(params=["ours", "flwr"])
def any_superlink(request: pytest.FixtureRequest) -> SuperLink:
    """Our SuperLink, and flwr's own."""
    name = "superlink" if request.param == "ours" else "flwrs_superlink"
    superlink: SuperLink = request.getfixturevalue(name)
    return superlink


@pytest.fixture
def node(superlink: SuperLink) -> Iterator[tuple[FleetApi, Connection]]:
    """A node that is online at our SuperLink, and its connection."""
    with superlink.node() as node:
        yield node
