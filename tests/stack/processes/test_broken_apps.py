"""An app that keeps its state elsewhere than in the Context does not get past the verifier."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import submit, wait_for_runs
from tests.stack.conftest import command
from tests.stack.processes import broken

RUN_SECONDS = 280.0


@pytest.mark.allowed_errors(r"StateOwnerError")
@pytest.mark.parametrize(
    ("kind", "rounds", "expected"),
    [
        (broken.GLOBAL_VARIABLE, 1, {"completeness", "agreement"}),
        (broken.SHARED_FILE, 1, {"completeness"}),
        (broken.SKIPPED_ENTRY, 2, {"completeness", "agreement"}),
    ],
    ids=["global-variable", "shared-file", "skipped-entry"],
)
def test_verify_turns_red(
    federation: Federation, tmp_path: Path, kind: str, rounds: int, expected: set[str]
) -> None:
    app = broken.broken_app(tmp_path, kind)
    run_id = submit(federation, app, {"num-rounds": rounds, "min-nodes": 3})
    wait_for_runs(federation, [run_id], RUN_SECONDS)
    report = verified(federation, run_id)
    assert report["passed"] is False
    assert expected <= {check["name"] for check in report["checks"] if not check["passed"]}, (
        report["checks"]
    )


def verified(federation: Federation, run_id: int) -> dict[str, Any]:
    answer = command(
        "fedstate", "verify", str(run_id), "--format", "json", environment=federation.environment
    )
    assert answer.returncode == 1, answer.stdout + answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout)
    return report
