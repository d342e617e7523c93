"""The command line as a whole: versions, help, wrong usage, and the two ways to start it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import fedstate

from fedstate.cli import app

COMMANDS = [
    command.name or getattr(command.callback, "__name__", "")
    for command in app.registered_commands
]
GROUPS = [group.name for group in app.registered_groups]


def test_the_version_names_flwr_too() -> None:
    assert fedstate("--version").stdout.startswith("fedstate 0.1.0, flwr 1.42.")


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_every_command_is_in_the_help(name: str) -> None:
    assert name in fedstate("--help").stdout


def test_wrong_usage_ends_with_2() -> None:
    assert fedstate("no-such-command").exit_code == 2


def test_a_mistake_is_one_sentence_from_a_real_process_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedstate", "state", "check", "--state", tmp_path / "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"fedstate: There is no node store in '{tmp_path / 'none'}', and")
