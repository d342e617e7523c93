"""Equal chunks have one digest computed, and every chunk has its own."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from fedstate.store.equal_chunks import EqualChunks

SIZE = 64 * 1024


def counting() -> tuple[EqualChunks, list[bytes]]:
    computed: list[bytes] = []

    def digest(chunk: memoryview) -> bytes:
        computed.append(hashlib.sha256(chunk).digest())
        return computed[-1]

    return EqualChunks(digest), computed


def chunk(number: int, change: int | None = None, size: int = SIZE) -> memoryview:
    """Return a chunk; `change` is the place of a bit that is another than in its equals."""
    content = bytearray(hashlib.sha256(bytes([number])).digest() * (size // 32))
    if change is not None:
        content[change % size] ^= 1
    return memoryview(bytes(content))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.none() | st.integers(0, SIZE - 1),
            st.sampled_from([SIZE, SIZE - 32, SIZE + 32]),
        ),
        max_size=8,
    )
)
def test_every_chunk_has_its_own_digest(chunks: list[tuple[int, int | None, int]]) -> None:
    equal, computed = counting()
    for number, change, size in chunks:
        each = chunk(number, change, size)
        assert equal.digest(each) == hashlib.sha256(each).digest()
    assert len(computed) <= len(chunks)


def test_equal_chunks_have_one_digest_computed() -> None:
    equal, computed = counting()
    for _ in range(3):
        for number in range(4):
            equal.digest(chunk(number))
    assert len(computed) == 4


def test_several_threads_may_ask() -> None:
    equal, _ = counting()
    chunks = [chunk(number % 5, None if number % 3 else number) for number in range(60)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(equal.digest, chunks))
    assert found == [hashlib.sha256(each).digest() for each in chunks]
