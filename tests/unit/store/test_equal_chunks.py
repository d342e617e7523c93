"""Equal chunks have one digest computed, and every chunk has its own."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from fedstate.store.equal_chunks import EarlierChunks, EqualChunks

SIZE = 64 * 1024


def counting(earlier: EarlierChunks | None = None) -> tuple[EqualChunks, list[bytes]]:
    computed: list[bytes] = []

    def digest(chunk: memoryview) -> bytes:
        computed.append(hashlib.sha256(chunk).digest())
        return computed[-1]

    return EqualChunks(digest, earlier), computed


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
        assert equal.digest(each, 0, each.nbytes) == hashlib.sha256(each).digest()
    assert len(computed) <= len(chunks)


def test_equal_chunks_have_one_digest_computed() -> None:
    equal, computed = counting()
    for _ in range(3):
        for number in range(4):
            equal.digest(chunk(number), 0, SIZE)
    assert len(computed) == 4


def test_several_threads_may_ask() -> None:
    equal, _ = counting()
    chunks = [chunk(number % 5, None if number % 3 else number) for number in range(60)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda each: equal.digest(each, 0, SIZE), chunks))
    assert found == [hashlib.sha256(each).digest() for each in chunks]


def test_a_chunk_that_is_in_memory_from_before_is_compared() -> None:
    """In one blob after the other, of which the last chunk is another."""
    earlier = EarlierChunks()
    blobs = []
    for last in (3, 3, 4):
        blob = memoryview(b"".join(map(chunk, (0, 1, 2, last))))
        equal, computed = counting(earlier)
        for start in range(0, 4 * SIZE, SIZE):
            expected = hashlib.sha256(blob[start : start + SIZE]).digest()
            assert equal.digest(blob, start, start + SIZE) == expected
        blobs.append(len(computed))
        before = blob  # noqa: F841  which somebody keeps
    assert blobs == [4, 0, 1]


def test_a_chunk_that_nobody_keeps_is_not_kept() -> None:
    earlier = EarlierChunks()
    kept, gone = chunk(0), chunk(1)
    for each in (kept, gone):
        counting(earlier)[0].digest(each, 0, SIZE)
    assert len(earlier) == 2
    del each, gone
    earlier.drop_gone()
    assert len(earlier) == 1
    equal, computed = counting(earlier)
    for number in (0, 1):
        equal.digest(chunk(number), 0, SIZE)
    assert computed == [hashlib.sha256(chunk(1)).digest()]


def test_a_bit_that_is_another_one_is_seen() -> None:
    earlier = EarlierChunks()
    before = chunk(0)
    counting(earlier)[0].digest(before, 0, SIZE)
    after = chunk(0, change=100)
    assert counting(earlier)[0].digest(after, 0, SIZE) == hashlib.sha256(after).digest()
