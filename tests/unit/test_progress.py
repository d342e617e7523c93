"""What `make demo` shows while it installs, with programs that say what pip says."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRESS = Path(__file__).parents[2] / "requirements" / "progress.py"
PIP = """
print("Collecting numpy==2.1.0 (from -r list.txt (line 1))")
print("  Downloading numpy-2.1.0-cp311-cp311-linux.whl (16.3 MB)")
print("Requirement already satisfied: rich==14.0 in ./lib (from -r list.txt (line 2)) (14.0)")
print("Installing collected packages: numpy")
"""


def run(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "list.txt").write_text("numpy==2.1.0 \\\n    --hash=sha256:0\nrich==14.0\n")
    command = [sys.executable, "-u", "-c", code, "-r", str(tmp_path / "list.txt")]
    return subprocess.run(
        [sys.executable, PROGRESS, "packages", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_window_it_says_what_it_begins_and_ends(tmp_path: Path) -> None:
    done = run(tmp_path, PIP)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first == "packages  0:00  0 of 2"
    assert last.startswith("packages  0:0")
    assert last.endswith("  done")


def test_one_that_fails_shows_what_it_said(tmp_path: Path) -> None:
    done = run(tmp_path, PIP + "raise SystemExit(3)")
    assert done.returncode == 3
    assert "Installing collected packages: numpy\n" in done.stderr
    assert done.stderr.endswith("packages failed; what it said last is above.\n")


def test_in_a_window_one_line_tells_what_it_is_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROGRESS.parent))
    import importlib

    progress = importlib.import_module("progress").Progress("packages", 2)
    shown = []
    for number, line in enumerate(PIP.strip().splitlines()):
        progress.take(line.removeprefix('print("').removesuffix('")'))
        shown.append(progress.line(60.0 + number))
    assert shown == [
        "packages  1:00  1 of 2  numpy==2.1.0",
        "packages  1:01  1 of 2  numpy-2.1.0-cp311-cp311-linux.whl (16.3 MB)",
        "packages  1:02  2 of 2  rich==14.0",
        "packages  1:03  unpacking",
    ]
