"""The difference between two pieces of content of one length: what of it changed, and where.

It begins with the width of a word and how the positions are written. Positions are gaps, one byte
each: how many words that did not change are before the next one that did; 255 stands for as many
words and none that changed. After them come the words themselves.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Numbers change as a whole: where few halves change, so do few doubles, but not the reverse.
_WIDTHS = (1, 2, 4, 8)
_HEADER = struct.Struct("<B?I")
_SKIP = 255
_SKIPS = bytes([_SKIP])
# It takes as long to unpack them as to apply them: only where they are mostly alike.
_WORTH = 0.5
# How many words are put into their places at once: what it takes stays in a processor's cache.
_PUT_AT_ONCE = 20_000


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


def apply(differences: Iterable[bytes], content: bytearray) -> None:
    """Turn `content` into what the last of the differences was made for, in place.

    Each applies to what the one before it makes of the content.

    Raises
    ------
    DifferenceError
        One is no difference of content of this length.
    """
    together: list[_Parts] = []
    count = 0
    try:
        for each in differences:
            parts = _parts(each, len(content))
            in_one_place = parts.first is not None
            if together and (in_one_place or parts.width != together[0].width):
                _put(together, content)
                together, count = [], 0
            if parts.first is not None:
                # Nothing has to be looked for.
                words = np.frombuffer(content, f"<u{parts.width}")
                words[parts.first : parts.first + len(parts.new)] = parts.new
                continue
            together.append(parts)
            count += len(parts.new)
            if count >= _PUT_AT_ONCE:
                _put(together, content)
                together, count = [], 0
        if together:
            _put(together, content)
    except (struct.error, zlib.error, ValueError, TypeError, IndexError) as error:
        raise DifferenceError(str(error)) from error


class _Parts(NamedTuple):
    """A difference, taken apart; `first` is the word at which all that changed begins."""

    width: int
    gaps: bytes
    new: NDArray[np.unsignedinteger]
    first: int | None


def _parts(difference: bytes, size: int) -> _Parts:
    width, is_packed, length = _HEADER.unpack_from(difference)
    start = _HEADER.size + length
    new = np.frombuffer(difference, f"<u{width}", offset=start)
    gaps = difference[_HEADER.size : start]
    if is_packed:
        count = size // width
        gaps = zlib.decompressobj().decompress(gaps, count + count // _SKIP + 1)
    skips = len(gaps) - len(gaps.lstrip(_SKIPS))
    in_one_place = (
        len(new) > 1 and gaps[skips + 1 :].count(0) == len(gaps) - skips - 1 == len(new) - 1
    )
    return _Parts(width, gaps, new, skips * _SKIP + gaps[skips] if in_one_place else None)


def _put(differences: Sequence[_Parts], content: bytearray) -> None:
    """Apply differences of one width, all at once: of two new words for one place, the later."""
    words = np.frombuffer(content, f"<u{differences[0].width}")
    steps = np.frombuffer(b"".join(each.gaps for each in differences), np.uint8)
    changes = steps != _SKIP
    # One more than each position, had the gaps of all differences been those of one.
    after = np.cumsum(steps + changes, dtype=np.intp)
    ends = np.cumsum([len(each.gaps) for each in differences])
    begin = np.concatenate(([0], after))[np.concatenate(([0], ends[:-1]))]
    before = np.repeat(begin + 1, [len(each.new) for each in differences])
    # In the end, there may be skips and no position after them.
    words[after[changes] - before] = np.concatenate([each.new for each in differences])


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
