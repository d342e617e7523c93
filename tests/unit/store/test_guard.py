"""The guard: one process at a time, and the number of the last commit."""

from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store.errors import StoreDamagedError, StoreInUseError
from fedstate.store.guard import MARK, Guard, read_mark


def test_what_was_noted_is_there_for_the_next_one(tmp_path: Path) -> None:
    with closing(Guard(tmp_path)) as guard:
        assert (guard.store_id, guard.generation) == (None, 0)
        guard.advance("store", 10**12)
        guard.advance("store", 7)  # shorter than the one before
        assert (guard.store_id, guard.generation) == ("store", 7)
    with closing(Guard(tmp_path)) as guard:
        assert (guard.store_id, guard.generation) == ("store", 7)


def test_one_at_a_time(tmp_path: Path) -> None:
    first = Guard(tmp_path)
    with pytest.raises(StoreInUseError, match="in use by another process"):
        Guard(tmp_path)
    assert read_mark(tmp_path) == (None, 0)
    first.close()
    first.close()
    Guard(tmp_path).close()


@pytest.mark.parametrize("content", [b"nonsense", b"{}", b"[1]", b'{"store": "x"}', b"\xff"])
def test_a_damaged_mark_is_refused_and_let_go(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MARK).write_bytes(content)
    for read in (Guard, read_mark):
        with pytest.raises(StoreDamagedError, match=r"node\.mark' is damaged"):
            read(tmp_path)
    (tmp_path / MARK).write_bytes(b"")
    Guard(tmp_path).close()


def test_a_directory_without_a_mark_has_seen_no_commit(tmp_path: Path) -> None:
    assert read_mark(tmp_path) == (None, 0)
