"""What a machine offers is found by trying, and what is missing is said in a line."""

import os
import sys
from pathlib import Path

import pytest

from fedstate.walls import landlock, mounts, offered
from fedstate.walls.offered import Offered, environment_paths
from tests.unit.walls.conftest import as_nobody, outcome


def test_without_root_there_are_no_users(rooms: Path) -> None:
    why = as_nobody(lambda: offered(rooms).no_users)
    assert "may not change users" in why


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_modules_that_others_cannot_read_are_named(
    rooms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = rooms / "packages/module.py"
    module.parent.mkdir()
    module.touch()
    module.parent.chmod(0o700)
    monkeypatch.setattr(sys, "path", [str(module.parent), *sys.path])
    assert module.parent in environment_paths()
    why = offered(rooms).no_users
    assert why is not None
    assert str(module.parent) in why


def test_everything_is_nothing_missing() -> None:
    assert Offered(6, None).missing() is None


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (Offered(0, None), ["Landlock is not available"]),
        (Offered(3, None), ["knows no ports"]),
        (Offered(6, "why"), ["share memory", "(why)"]),
        (Offered(6, "why"), ["the modes of each other's files", "this user's sockets (why)"]),
        (Offered(6, "why", own_memory=True), ["can take precedence over each other (why)"]),
        (Offered(4, "why"), ["signal each other", "share memory"]),
        (Offered(0, "why"), ["read and stop each other", "Landlock is not available"]),
    ],
)
def test_what_is_missing_is_one_line(here: Offered, words: list[str]) -> None:
    line = here.missing()
    assert line is not None
    assert "\n" not in line
    assert all(word in line for word in words)


def test_shared_memory_without_root_is_found_by_trying(rooms: Path) -> None:
    expected = as_nobody(lambda: outcome(mounts.own_memory)) == "done"
    assert as_nobody(lambda: offered(rooms).own_memory) == expected
    assert not Offered(6, None).own_memory


def test_this_kernel_is_asked(rooms: Path) -> None:
    assert offered(rooms).landlock == landlock.abi()
