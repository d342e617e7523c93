"""Contents of a request that are kept in memory."""

import os
import tracemalloc

from fedstate.objects.memory import MemoryArrival

FIRST, SECOND = os.urandom(300_000), os.urandom(70_000)


def test_contents_are_put_together_from_whatever_parts_they_come_in() -> None:
    for size in (1000, 65_536, 300_000):
        arrival = MemoryArrival()
        for content in (FIRST, SECOND):
            parts = [content[at : at + size] for at in range(0, len(content), size)]
            arrival.take([len(content)])
            for part in parts:
                arrival.take([memoryview(part)])
        arrival.finish()
        assert arrival.arrived == [FIRST, SECOND]


def test_one_that_does_not_come_whole_has_not_arrived() -> None:
    arrival = MemoryArrival()
    arrival.take([len(FIRST), FIRST, len(SECOND), SECOND[:-1]])
    arrival.finish()
    assert arrival.arrived == [FIRST]


def test_what_a_request_only_says_that_it_has_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        arrival = MemoryArrival()
        arrival.take([2**40, b"x"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000


def test_many_small_parts_take_no_more_memory_than_their_bytes() -> None:
    content = os.urandom(50_000)
    tracemalloc.start()
    try:
        arrival = MemoryArrival()
        arrival.take([len(content)])
        for at in range(len(content) - 1):
            arrival.take([memoryview(bytes(content[at : at + 1]))])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    arrival.take([content[-1:]])
    assert arrival.arrived == [content]
    assert kept < 2 * len(content)
