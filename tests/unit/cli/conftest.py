"""A SuperLink that commands reach, and a Flower configuration that names it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from fedstate.connection import write_connection

if TYPE_CHECKING:  # most commands need no SuperLink, which takes seconds to import
    from pathlib import Path

    from tests.unit.superlink_in_process import SuperLink

    from fedstate.connection import Connection


@pytest.fixture(scope="session")
def connection(
    superlink: SuperLink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    from tests.unit.served import served

    with served(superlink, tmp_path_factory.mktemp("served")) as connection:
        yield connection


@pytest.fixture
def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection) -> None:
    """Let commands find the SuperLink by Flower's configuration, as the default one."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    write_connection(connection, default=True)
