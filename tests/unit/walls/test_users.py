"""Users for runs are nobody's."""

import os
from pathlib import Path

import pytest

from fedstate.walls.users import FIRST, LAST, free_user, owners


def test_a_free_user_is_nobody_s(tmp_path: Path) -> None:
    taken: set[int] = set()
    for _ in range(20):
        user = free_user(tmp_path, taken)
        assert FIRST <= user <= LAST
        assert user not in taken
        taken.add(user)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_owner_of_a_directory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", FIRST, FIRST)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert owners(tmp_path) == {tmp_path / "run": FIRST}
    monkeypatch.setattr("fedstate.walls.users.LAST", FIRST + 1)
    assert free_user(tmp_path) == FIRST + 1
