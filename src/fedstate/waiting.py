"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

POLL_SECONDS = 0.1


def wait_until(
    condition: Callable[[], Result],
    seconds: float,
    *,
    poll_seconds: float = POLL_SECONDS,
    sleep: Callable[[float], object] = time.sleep,
) -> Result:
    """Call `condition` until it returns something true, and return that.

    Parameters
    ----------
    condition
        What is waited for; it is called at least once, and once more at the deadline.
    seconds
        How long to wait at most.
    poll_seconds
        The pause between two calls.
    sleep
        How to pause, such as the `wait` of an event that ends the pause early.

    Returns
    -------
    Result
        What `condition` returned last; something false if the deadline has passed.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        sleep(min(poll_seconds, left))
    return result
