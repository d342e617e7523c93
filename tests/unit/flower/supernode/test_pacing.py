"""Polls are quick while something happens, and seldom when nothing does."""

import threading
import time

from fedstate.flower.supernode.pacing import Pacing


def test_pauses_grow_to_the_longest() -> None:
    pacing = Pacing(0.001, 0.02)
    pauses = []
    for _ in range(20):
        started = time.perf_counter()
        pacing.wait()
        pauses.append(time.perf_counter() - started)
    # At least, since a machine may be slow: the jitter takes off a fifth at most.
    assert min(pauses[12:]) >= 0.02 * 0.8
    assert pacing._pause == 0.02


def test_a_hurry_ends_the_pause_and_makes_the_next_ones_short() -> None:
    pacing = Pacing(0.001, 3600)
    pacing._pause = 3600
    waiting = threading.Thread(target=pacing.wait)
    waiting.start()
    pacing.hurry()
    waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert pacing._pause == 0.001


def test_the_shortest_pause_is_no_longer_than_the_longest() -> None:
    assert Pacing(0.05, 0.01)._pause == 0.01
