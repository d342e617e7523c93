"""The digests of a value's chunks, begun before the transaction that stores the value."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from fedstate.store.cipher import Buffer, Cipher
from fedstate.store.equal_chunks import EarlierChunks, EqualChunks
from fedstate.store.values import CHUNK_BYTES, DigestedValue, Value

_THREADS = 2


@contextmanager
def digesting(
    cipher: Cipher, *values: Value, earlier: EarlierChunks | None = None
) -> Iterator[list[DigestedValue]]:
    """Begin to compute the digests of values, for use in the block, on threads of its own.

    Runs that wait for each other's transactions have their digests done meanwhile; one that need
    not wait stores its first chunks while the last ones are still being digested. The threads
    have ended when the block has, and so have the digests that nobody asked for. Chunks that are
    equal, as in a state and a reply with the same weights, have one digest computed.

    Parameters
    ----------
    cipher : Cipher
        The store's cipher.
    *values : Value
        The values; their bytes are not copied.
    earlier : EarlierChunks, optional
        Chunks of before: one that is equal to one of these has its digest.
    """
    # It starts its threads only when there is a chunk.
    pool = ThreadPoolExecutor(_THREADS, "digest")
    digest = EqualChunks(cipher.digest, earlier).digest
    try:
        yield [_digested(pool, cipher, digest, value) for value in values]
    finally:
        pool.shutdown(cancel_futures=True)
        if earlier is not None:
            earlier.drop_gone()


def _digested(
    pool: ThreadPoolExecutor,
    cipher: Cipher,
    digest: Callable[[Buffer, int, int], bytes],
    value: Value,
) -> DigestedValue:
    places = [
        (number, start)
        for number, blob in enumerate(value.blobs)
        for start in range(0, memoryview(blob).nbytes, CHUNK_BYTES)
    ]
    views = [memoryview(blob).cast("B") for blob in value.blobs]
    chunks = [(number, views[number][start : start + CHUNK_BYTES]) for number, start in places]
    # `map` begins at once, before anybody asks for the first digest.
    digests = pool.map(
        lambda place: digest(value.blobs[place[0]], place[1], place[1] + CHUNK_BYTES), places
    )
    contents = None
    if cipher.keyed and value.description is not None:
        contents = pool.map(_sha256, (chunk for _, chunk in chunks))
    with_digests = (
        (blob, digest, chunk) for (blob, chunk), digest in zip(chunks, digests, strict=True)
    )
    return DigestedValue(value, with_digests, contents)


def _sha256(chunk: memoryview) -> bytes:
    return hashlib.sha256(chunk).digest()
