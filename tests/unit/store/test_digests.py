"""The digests of a value's chunks."""

import threading

import pytest

from fedstate.store import digests
from fedstate.store.cipher import PlainCipher
from fedstate.store.digests import digesting
from fedstate.store.values import Value

CHUNK = 16


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHUNK_BYTES", CHUNK)


class Counting(PlainCipher):
    """Counts the digests, and waits in each until it may go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.count = 0

    def digest(self, plain: bytes | memoryview) -> bytes:
        self.count += 1
        self.begun.release()
        assert self.go_on.wait(60)
        return super().digest(plain)


def test_chunks_come_in_order_with_their_digests() -> None:
    blobs = [bytes(range(40)), b"", b"x" * CHUNK]
    with digesting(PlainCipher(), Value(b"", blobs)) as (digested,):
        chunks = list(digested.chunks)
    assert [(blob, bytes(data)) for blob, _, data in chunks] == [
        (0, blobs[0][:16]),
        (0, blobs[0][16:32]),
        (0, blobs[0][32:]),
        (2, blobs[2]),
    ]
    assert all(digest == PlainCipher().digest(data) for _, digest, data in chunks)


def test_they_begin_before_anybody_asks_for_them() -> None:
    cipher = Counting()
    with digesting(cipher, Value(b"", [b"1" * 100]), Value(b"", [b"2"])):
        assert cipher.begun.acquire(timeout=60)
        cipher.go_on.set()


def test_what_nobody_asked_for_is_not_computed_to_the_end() -> None:
    cipher, threads = Counting(), threading.active_count()

    def fail() -> None:
        with digesting(cipher, Value(b"", [b"1" * CHUNK * 1000])):
            assert cipher.begun.acquire(timeout=60)
            # Lets the digests under way end while the rest is being cancelled.
            threading.Timer(0.05, cipher.go_on.set).start()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert cipher.count < 1000
    assert threading.active_count() <= threads + 1


def test_a_value_without_blobs_needs_no_thread() -> None:
    threads = threading.active_count()
    with digesting(PlainCipher(), Value(b"header"), Value(b"", [b""])) as digested:
        assert threading.active_count() == threads
        assert [list(each.chunks) for each in digested] == [[], []]
