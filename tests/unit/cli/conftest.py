"""A Flower configuration in which commands find a SuperLink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fedstate.connection import write_connection

if TYPE_CHECKING:
    from pathlib import Path

    from fedstate.connection import Connection


@pytest.fixture(scope="session")
def operators_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of `tests.operators_directory`, which nobody may change."""
    from tests import operators_directory

    return operators_directory.make(tmp_path_factory.mktemp("operator"))


@pytest.fixture
def connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served_superlink: Connection
) -> None:
    """Let commands find the SuperLink by Flower's configuration, as the default one."""
    # Away from the compose project of the repository.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    write_connection(served_superlink, default=True)
