"""A new database of a SuperLink has larger pages; whatever is there already stays as it is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.flower.superlink_app import IN_MEMORY_DATABASE
from fedstate.superlink.database import lay_out


def pragma(file: Path, name: str) -> object:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_database_has_large_pages_and_a_write_ahead_log(tmp_path: Path) -> None:
    file = tmp_path / "link.db"
    lay_out(str(file))
    assert (pragma(file, "page_size"), pragma(file, "journal_mode")) == (16384, "wal")


@pytest.mark.parametrize("content", [b"", b"no database at all"])
def test_a_file_that_is_there_is_not_touched(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "link.db"
    file.write_bytes(content)
    lay_out(str(file))
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["", ":memory:", IN_MEMORY_DATABASE, "sqlite:///link.db"])
def test_what_is_no_file_makes_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(name)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_missing_is_left_to_flwr_to_report(tmp_path: Path) -> None:
    lay_out(str(tmp_path / "missing" / "link.db"))
    assert list(tmp_path.iterdir()) == []
