"""Waiting for a condition, for tests: never a fixed sleep."""

from collections.abc import Callable
from typing import TypeVar

from fedstate import waiting

Value = TypeVar("Value")


def wait_until(
    condition: Callable[[], Value], seconds: float = 30.0, what: str = "the condition"
) -> Value:
    """Poll until ``condition`` holds and return it; fail the test if not within ``seconds``."""
    value = waiting.wait_until(condition, seconds, poll_seconds=0.05)
    assert value, f"{what} did not come true within {seconds:.0f} s"
    return value
