"""Waiting for a condition, for tests: never a fixed sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

from fedstate import waiting

Value = TypeVar("Value")

POLL_SECONDS = 0.05
# A condition that is costly to look at, such as a command, would slow down what is waited for.
PAUSES_PER_LOOK, LONGEST_PAUSE_SECONDS = 2, 2.0


def wait_until(
    condition: Callable[[], Value], seconds: float = 30.0, what: str = "the condition"
) -> Value:
    """Poll until ``condition`` holds and return it; fail the test if not within ``seconds``."""
    took = 0.0

    def look() -> Value:
        nonlocal took
        began = time.perf_counter()
        value = condition()
        took = time.perf_counter() - began
        return value

    def pause(shortest: float) -> None:
        time.sleep(max(shortest, min(PAUSES_PER_LOOK * took, LONGEST_PAUSE_SECONDS)))

    value = waiting.wait_until(look, seconds, poll_seconds=POLL_SECONDS, sleep=pause)
    assert value, f"{what} did not come true within {seconds:.0f} s"
    return value
