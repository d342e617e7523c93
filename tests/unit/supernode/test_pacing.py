"""Polls are quick while something happens, and seldom when nothing does."""

import threading

from fedstate.supernode.pacing import Pacing


def test_a_hurry_ends_a_long_pause() -> None:
    pacing = Pacing(longest=3600)
    pacing._pace._last_activity -= 1_000_000
    waiting = threading.Thread(target=pacing.wait)
    waiting.start()
    pacing.hurry()
    waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert pacing._pace.wait() < 1


def test_no_pause_is_longer_than_the_longest() -> None:
    pacing = Pacing(longest=0.01)
    pacing._pace._last_activity -= 1_000_000
    assert pacing._pace.wait() <= 0.012
    pacing.wait()
