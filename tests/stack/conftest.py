"""One running federation for all tests that leave it as they found it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fedstate.local.federation import Federation

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("federation"), nodes=3) as running:
        yield running


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
