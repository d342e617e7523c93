"""Waiting for a condition: what it returns, and how often it looks."""

import time

import pytest

from fedstate.waiting import wait_until
from tests import waiting


def test_it_returns_the_first_true_result_without_a_pause() -> None:
    results = iter([0, "", "there"])
    pauses: list[float] = []
    assert wait_until(lambda: next(results), 60, poll_seconds=0.5, sleep=pauses.append) == "there"
    assert pauses == [0.5, 0.5]


def test_at_the_deadline_it_returns_what_the_last_call_did() -> None:
    calls: list[int] = []
    assert wait_until(lambda: calls.append(1), 0) is None
    assert calls == [1]


def test_a_pause_does_not_pass_the_deadline() -> None:
    pauses: list[float] = []
    wait_until(lambda: len(pauses), 5, poll_seconds=60, sleep=pauses.append)
    assert len(pauses) == 1
    assert pauses[0] <= 5


def test_a_test_looks_less_often_the_longer_a_look_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses, costs = 0.0, list[float](), [0.0, 0.01, 0.5, 60.0]

    def condition() -> bool:
        nonlocal now
        now += costs[len(pauses)] if len(pauses) < len(costs) else 0
        return len(pauses) == len(costs)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert waiting.wait_until(condition, 600)
    assert pauses == pytest.approx([0.05, 0.05, 1.0, 2.0])
