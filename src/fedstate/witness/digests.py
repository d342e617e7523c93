"""The digest of a state: equal for equal content, in every store, encrypted or not."""

import hashlib
import struct
from collections.abc import Iterable

# Part of what a digest is: another size would give other digests.
CHUNK_BYTES = 1024 * 1024

_NAME = b"fedstate state 1\0"


def state_digest(description: bytes | memoryview, blobs: Iterable[Iterable[bytes]]) -> bytes:
    """Return the digest of a state.

    It is the SHA-256 over, each with its length before it, the description of the state and for
    each larger array the SHA-256 of its chunks.

    Parameters
    ----------
    description : bytes or memoryview
        The records of the state in Flower's wire format, in their order, without the bytes of
        the larger arrays, and which arrays these are. The run, the node and their configuration
        are not among it: two runs with equal states have equal digests.
    blobs : sequence of iterables of bytes
        For each larger array, in order, the SHA-256 of each `CHUNK_BYTES` of its bytes.
    """
    whole = hashlib.sha256(_NAME)
    whole.update(struct.pack("<Q", len(description)))
    whole.update(description)
    for chunks in blobs:
        digests = list(chunks)
        whole.update(struct.pack("<Q", len(digests)))
        whole.update(b"".join(digests))
    return whole.digest()


def chunk_digests(blob: bytes | memoryview) -> list[bytes]:
    """Return the SHA-256 of each chunk of a larger array."""
    view = memoryview(blob).cast("B")
    return [
        hashlib.sha256(view[start : start + CHUNK_BYTES]).digest()
        for start in range(0, view.nbytes, CHUNK_BYTES)
    ]


# The state of a run that begins: no records, and no arrays. What describes it is the length of
# each, twice 0.
EMPTY_STATE = state_digest(bytes(8), [])
