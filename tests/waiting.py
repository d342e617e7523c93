"""Waiting for a condition, for tests: never a fixed sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], seconds: float = 30.0) -> Value:
    """Poll until ``condition`` holds and return it; fail the test if not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds:.0f} s"
        time.sleep(0.05)
    return value
