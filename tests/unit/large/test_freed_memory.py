"""What threads have freed goes back to the system."""

import threading
from pathlib import Path

import pytest

from fedstate.large import freed_memory
from fedstate.large.freed_memory import give_back_freed_memory

# Smaller than what the C library asks the system for by itself, and gives back at once.
THREADS, PIECES, PIECE_BYTES = 4, 500, 100_000


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def test_what_threads_have_freed_is_given_back() -> None:
    here, over = threading.Barrier(THREADS + 1), threading.Event()

    def take_and_free() -> None:
        small = []
        pieces = []
        for _ in range(PIECES):
            pieces.append(b"x" * PIECE_BYTES)
            # Between them is what stays, so that nothing goes back by itself.
            small.append(bytes(1000))
        del pieces
        here.wait()
        over.wait()
        assert small

    threads = [threading.Thread(target=take_and_free) for _ in range(THREADS)]
    for each in threads:
        each.start()
    here.wait()
    freed = _anonymous_bytes()
    give_back_freed_memory()
    after = _anonymous_bytes()
    over.set()
    for each in threads:
        each.join()
    assert freed - after > THREADS * PIECES * PIECE_BYTES // 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "_malloc_trim", lambda: None)
    give_back_freed_memory()
