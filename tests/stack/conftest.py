"""What the tests of running federations share."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from fedstate.logs import release
from tests.commands import fedstate

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
PROGRAMS = Path(sys.executable).parent
# Commands of ours that ask a federation: in a process of their own they take seconds to start.
QUICK = ("account", "certificates", "enrol", "health", "logs", "node", "state", "verify")
# flwr finds out once in a process where the tokens are.
CREDENTIALS = "flwr.supercore.credential_store.file_credential_store.CREDENTIAL_FILE_PATH"


def command(
    *arguments: str | Path, environment: Mapping[str, str], seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run one of the installed commands to its end; return what it printed."""
    program, *rest = arguments
    variables = {**environment, "NO_COLOR": "1", "TERM": "dumb"}
    if program == "fedstate" and rest[0] in QUICK:
        credentials = Path(variables["FLWR_HOME"]) / "credentials.yaml"
        with mock.patch.dict(os.environ, variables), mock.patch(CREDENTIALS, credentials):
            done = fedstate(*rest)
        release()
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)
    return subprocess.run(
        [PROGRAMS / program, *rest],
        env={**os.environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
