"""One digest for equal chunks: to compare bytes takes a quarter of what SHA-256 does.

The weights that a step leaves are often in its state and in its reply, and layers that are not
trained are in the state before, too; this node has them in memory. A digest is taken over only
where each byte was compared, by this process: what the ClientApp says of its bytes is no evidence
for them.
"""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

_MARK_BYTES = 32
# Below this, a digest costs about as much as the look for another.
_SMALLEST_BYTES = 64 * 1024


class EqualChunks:
    """Computes digests, those of equal chunks once; any thread may ask.

    It keeps the chunks, which must not change, for as long as it is kept.

    Parameters
    ----------
    digest : callable
        Computes the digest of one chunk.
    earlier : EarlierChunks, optional
        Chunks of before, to which those of now are added.
    """

    def __init__(
        self,
        digest: Callable[[memoryview], bytes],
        earlier: "EarlierChunks | None" = None,
    ) -> None:
        self._compute = digest
        self._earlier = EarlierChunks() if earlier is None else earlier
        self._lock = threading.Lock()
        self._known: dict[tuple[int, bytes], tuple[memoryview, bytes]] = {}

    def digest(self, blob: memoryview | bytes, start: int, end: int) -> bytes:
        """Return the digest of a chunk, which is these bytes of a blob."""
        chunk = memoryview(blob).cast("B")[start:end]
        if chunk.nbytes < _SMALLEST_BYTES:
            return self._compute(chunk)
        mark = _mark(chunk)
        with self._lock:
            known = self._known.get(mark)
        if known is not None and _equal(known[0], chunk):
            return known[1]
        known = self._earlier.find(mark)
        digest = (
            known[1] if known is not None and _equal(known[0], chunk) else self._compute(chunk)
        )
        with self._lock:
            self._known[mark] = chunk, digest
        if isinstance(blob, memoryview):
            self._earlier.add(mark, _Earlier(weakref.ref(blob), start, end, digest))
        return digest


@dataclass(frozen=True)
class _Earlier:
    """A chunk and its digest, for as long as somebody else keeps the blob."""

    blob: weakref.ref[memoryview]
    start: int
    end: int
    digest: bytes


class EarlierChunks:
    """The chunks that were digested before and are in memory for another reason.

    It keeps none of them there: a chunk is known as long as its blob is, such as one of the state
    that a step has left, and the next one begins with.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunks: dict[tuple[int, bytes], _Earlier] = {}

    def __len__(self) -> int:
        return len(self._chunks)

    def find(self, mark: tuple[int, bytes]) -> tuple[memoryview, bytes] | None:
        """Return a chunk with this mark, and its digest, if it is still in memory."""
        with self._lock:
            found = self._chunks.get(mark)
        blob = found.blob() if found is not None else None
        if found is None or blob is None:
            return None
        return blob.cast("B")[found.start : found.end], found.digest

    def add(self, mark: tuple[int, bytes], chunk: _Earlier) -> None:
        """Note a chunk."""
        with self._lock:
            self._chunks[mark] = chunk

    def drop_gone(self) -> None:
        """Forget what is not in memory any longer."""
        with self._lock:
            self._chunks = {
                mark: each for mark, each in self._chunks.items() if each.blob() is not None
            }


def _mark(chunk: memoryview) -> tuple[int, bytes]:
    """Return what equal chunks have in common, and others of a model hardly ever."""
    middle = chunk.nbytes // 2
    return chunk.nbytes, bytes(chunk[middle : middle + _MARK_BYTES]) + bytes(chunk[-_MARK_BYTES:])


def _equal(one: memoryview, other: memoryview) -> bool:
    # Imported where a SuperNode has it anyway: whoever only reads a store needs none of it.
    import numpy as np

    return bool(np.array_equal(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)))
