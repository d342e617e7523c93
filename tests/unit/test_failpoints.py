"""Failpoints do nothing unless armed, and refuse a name that does not exist."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.failpoints import NAMES, VARIABLE, _Armed

PASSES = """
from fedstate.failpoints import reach
for number in (1, 2, 3):
    reach("task-created")
    print(number, flush=True)
"""


def passes(setting: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PASSES],
        env={**os.environ, VARIABLE: setting},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unarmed_point_does_nothing() -> None:
    assert passes("").stdout == "1\n2\n3\n"


@pytest.mark.parametrize(("action", "output"), [("kill", ""), ("kill:3", "1\n2\n")])
def test_an_armed_point_kills_at_its_pass(action: str, output: str) -> None:
    done = passes(f"task-created={action}")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, output)


def test_a_pause_lasts_until_its_file_is_there(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    _Armed(f"task-created=pause:{go}").reach("task-created")
    assert (tmp_path / "go.reached").exists()


@pytest.mark.parametrize("setting", ["nowhere=kill", "task-created=explode", "task-created"])
def test_a_wrong_setting_is_refused_with_the_names(setting: str) -> None:
    with pytest.raises(SettingError, match=setting) as refused:
        _Armed(setting)
    assert all(name in str(refused.value) for name in NAMES)
