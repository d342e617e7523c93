"""The difference between two pieces of content of one length: what of it changed, and where.

It begins with the width of a word and how the positions are written. Positions are gaps, one byte
each: how many words that did not change are before the next one that did; 255 stands for as many
words and none that changed. After them come the words themselves.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

# Numbers change as a whole: where few halves change, so do few doubles, but not the reverse.
_WIDTHS = (1, 2, 4, 8)
_HEADER = struct.Struct("<B?I")
_SKIP = 255
_SKIPS = bytes([_SKIP])
# It takes as long to unpack them as to apply them: only where they are mostly alike.
_WORTH = 0.5


class DifferenceError(Exception):
    """What should be a difference is none of the content that it is applied to."""


def difference(wanted: bytes, base: bytes) -> bytes | None:
    """Return what turns `base` into `wanted`; None if their lengths differ.

    Parameters
    ----------
    wanted : bytes
        What is to be had from it.
    base : bytes
        What is there.
    """
    if len(wanted) != len(base):
        return None
    width = min(
        (width for width in _WIDTHS if len(base) % width == 0),
        key=lambda width: _changed(wanted, base, width) * (width + 1),
    )
    new, old = _words(wanted, width), _words(base, width)
    positions = np.flatnonzero(new != old)
    gaps = _gaps(positions)
    packed = zlib.compress(gaps, 1)
    is_packed = len(packed) < _WORTH * len(gaps)
    gaps = packed if is_packed else gaps
    return _HEADER.pack(width, is_packed, len(gaps)) + gaps + new[positions].tobytes()


def apply(difference: bytes, content: bytearray) -> None:
    """Turn `content` into what the difference was made for, in place.

    Raises
    ------
    DifferenceError
        It is no difference of content of this length.
    """
    try:
        width, is_packed, length = _HEADER.unpack_from(difference)
        start = _HEADER.size + length
        gaps = difference[_HEADER.size : start]
        words = np.frombuffer(content, f"<u{width}")
        if is_packed:
            most = len(words) + len(words) // _SKIP + 1
            gaps = zlib.decompressobj().decompress(gaps, most)
        new = np.frombuffer(difference, f"<u{width}", offset=start)
        skips = len(gaps) - len(gaps.lstrip(_SKIPS))
        if len(new) > 1 and gaps[skips + 1 :].count(0) == len(gaps) - skips - 1 == len(new) - 1:
            # All in one place: nothing has to be looked for.
            first = skips * _SKIP + gaps[skips]
            words[first : first + len(new)] = new
            return
        steps = np.frombuffer(gaps, np.uint8)
        changes = steps != _SKIP
        # In the end, one more than the last position: there may be none.
        after = np.cumsum(steps + changes, dtype=np.intp)
        words[after[changes] - 1] = new
    except (struct.error, zlib.error, ValueError, TypeError, IndexError) as error:
        raise DifferenceError(str(error)) from error


def _words(content: bytes, width: int) -> NDArray[np.unsignedinteger]:
    return np.frombuffer(content, f"<u{width}")


def _changed(new: bytes, old: bytes, width: int) -> int:
    return int(np.count_nonzero(_words(new, width) != _words(old, width)))


def _gaps(positions: NDArray[np.intp]) -> bytes:
    gaps = np.diff(positions, prepend=-1) - 1
    skips = gaps // _SKIP
    written = np.full(len(gaps) + int(skips.sum()), _SKIP, np.uint8)
    written[np.cumsum(skips + 1) - 1] = gaps % _SKIP
    return written.tobytes()
