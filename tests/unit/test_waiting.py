"""Waiting for a condition: what it returns, and how often it looks."""

from fedstate.waiting import wait_until


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
