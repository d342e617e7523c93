"""What the tests of running federations share."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
PROGRAMS = Path(sys.executable).parent


def command(
    *arguments: str | Path, environment: Mapping[str, str], seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run one of the installed commands to its end; return what it printed."""
    program, *rest = arguments
    return subprocess.run(
        [PROGRAMS / program, *rest],
        env={**os.environ, **environment, "NO_COLOR": "1", "TERM": "dumb"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
