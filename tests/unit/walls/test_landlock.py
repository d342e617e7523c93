"""Which rules stand for "everything but"."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedstate.walls.landlock import PORTS_ABI, abi, all_but


def test_nothing_closed_is_one_rule(tmp_path: Path) -> None:
    assert list(all_but(tmp_path, [])) == [tmp_path]


def test_the_way_to_what_is_closed_is_replaced_by_its_siblings(tmp_path: Path) -> None:
    for name in ("a/b/closed/x", "a/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/file").touch()
    (tmp_path / "a/link").symlink_to("b/closed")
    closed = [tmp_path / "a/b/closed", tmp_path / "not-there"]
    found = set(all_but(tmp_path, closed))
    assert found == {tmp_path / "a/c", tmp_path / "a/file", tmp_path / "d"}


def test_what_is_below_something_closed_is_closed(tmp_path: Path) -> None:
    assert not list(all_but(tmp_path / "a", [tmp_path]))
    assert not list(all_but(tmp_path, [tmp_path]))


@pytest.mark.skipif(abi() < PORTS_ABI, reason="this kernel's Landlock knows no ports")
@pytest.mark.parametrize("ports", [(), (9,)])
def test_files_can_be_moved_between_directories_that_may_be_written(
    tmp_path: Path, ports: tuple[int, ...]
) -> None:
    """Whether ports are closed or not: each ruleset forbids it that does not allow it."""
    for name in ("open/a", "open/b", "closed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "open/a/file").touch()
    script = (
        "import os, pathlib, sys\n"
        "from fedstate import system\nfrom fedstate.walls import landlock\n"
        "domain = landlock.Domain(landlock.abi())\n"
        "domain.allow_reading([pathlib.Path('/')])\n"
        "domain.allow_writing([pathlib.Path('open')])\n"
        f"domain.close_ports({ports})\n"
        "system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)\n"
        "domain.enter()\n"
        "os.rename('open/a/file', 'open/b/file')\n"
        "try:\n"
        "    os.rename('open/b/file', 'closed/file')\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout in ("Invalid cross-device link\n", "Permission denied\n")
    assert (tmp_path / "open/b/file").exists()
