"""What an app does to its state elsewhere than in the Context, as the verifier sees it."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from tests.stack.conftest import command
from tests.stack.processes import broken

RUN_SECONDS = 280.0


@pytest.mark.allowed_errors(r"PermissionError")
@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        # The replies tell of entries, and the Context has none.
        (broken.GLOBAL_VARIABLE, 1, ("agreement", "ledger", "its ledger lacks the entry")),
        # The walls of the run's rooms: no file is every node's.
        (broken.SHARED_FILE, 0, ("completeness", "failed-step", "PermissionError")),
    ],
    ids=["global-variable", "shared-file"],
)
def test_it_is_told_for_what_it_is(
    federation: Federation, tmp_path: Path, kind: str, code: int, expected: tuple[str, str, str]
) -> None:
    app = broken.broken_app(tmp_path, kind)
    run_id = start(federation, app, {"num-rounds": 1, "min-nodes": 3})
    wait_for_runs(federation, [run_id], RUN_SECONDS)
    report = verified(federation, run_id, code)
    check, name, text = expected
    found = [
        each for each in report["findings"] if (each["check"], each["kind"]) == (check, name)
    ]
    assert found, report["findings"]
    assert any(text in each["text"] for each in found)


def verified(federation: Federation, run_id: int, code: int) -> dict[str, Any]:
    answer = command(
        "fedstate", "verify", str(run_id), "--format", "json", environment=federation.environment
    )
    assert answer.returncode == code, answer.stdout + answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout)
    return report
