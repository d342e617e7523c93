"""The identity of a task: flwr keeps one per process, and every Message takes its run from it."""

import pytest
from flwr.supercore.task_identity import TaskIdentity


def be_task(monkeypatch: pytest.MonkeyPatch, *, run_id: int = 1, node_id: int = 1) -> None:
    """Let this process be a task of a run until the test ends."""
    for name, value in {"_run_id": run_id, "_node_id": node_id, "_task_id": 1}.items():
        monkeypatch.setattr(TaskIdentity, name, value)
