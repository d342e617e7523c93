"""A session is continued only while nobody else can have been admitted."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.supernode.session import Session, SessionFile

PATIENCE = 20.0
NOW = 1_000_000.0


def left(path: Path, *, pulling: bool = False, alive_at: float = NOW) -> None:
    with closing(SessionFile(path, PATIENCE)) as session:
        session.alive(2**64 - 1, alive_at)
        session.pulling(active=pulling)


def previous(path: Path, now: float = NOW) -> Session | None:
    with closing(SessionFile(path, PATIENCE)) as session:
        return session.previous(now)


@pytest.mark.parametrize("pulling", [False, True])
def test_a_session_is_found_again(tmp_path: Path, pulling: bool) -> None:
    left(tmp_path / "session", pulling=pulling)
    assert previous(tmp_path / "session", NOW + 5) == Session(2**64 - 1, PATIENCE - 5, pulling)


@pytest.mark.parametrize("now", [NOW + PATIENCE, NOW + 10 * PATIENCE, NOW - 1])
def test_a_session_that_may_have_lapsed_is_not_continued(tmp_path: Path, now: float) -> None:
    left(tmp_path / "session")
    assert previous(tmp_path / "session", now) is None


def test_a_session_that_was_ended_is_not_continued(tmp_path: Path) -> None:
    with closing(SessionFile(tmp_path / "session", PATIENCE)) as session:
        session.alive(1, NOW)
        session.end()
        session.pulling(active=False)
    assert previous(tmp_path / "session") is None


def test_a_copy_of_a_session_is_not_continued(tmp_path: Path) -> None:
    left(tmp_path / "session")
    shutil.copy(tmp_path / "session", tmp_path / "copy")
    assert previous(tmp_path / "copy") is None


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b'{"node_id": "x"}'])
def test_a_file_that_cannot_be_read_is_no_session(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session").write_bytes(content)
    assert previous(tmp_path / "session") is None
