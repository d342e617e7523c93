"""Splitting the larger arrays from a message, and joining them again, in protobuf's wire format.

Python's protobuf copies a message at each level at which it is put together or read, and holds
the interpreter's lock meanwhile: for a Context of 1 GB these are seven copies, and seconds in
which no heartbeat leaves the process. Here the bytes of each larger array are split from a
message, or joined to one, without a copy, and protobuf reads the small rest. The other end of the
connection sees an ordinary message.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fedstate.flower.field_numbers import ARRAY_DATA

Buffer = bytes | memoryview

# Below this size an array costs more apart from the message than inside it.
LARGE_ARRAY_BYTES = 4096
_CHUNK_BYTES = 1024 * 1024

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class LargeArrays:
    """The larger arrays of a message.

    Attributes
    ----------
    is_large : bytes
        For each array of the message, in order: 1 if it is one of these, else 0.
    contents : sequence of bytes or memoryview
        The bytes of the larger arrays, in order.
    """

    is_large: bytes = b""
    contents: Sequence[Buffer] = ()


def split_message(message: Buffer, path: Sequence[int]) -> tuple[bytes, LargeArrays]:
    """Split a message; return it without its larger arrays, and these as views of `message`.

    Parameters
    ----------
    message : bytes or memoryview
        A message in protobuf's wire format.
    path : sequence of int
        The numbers of the fields that lead to each array.

    Raises
    ------
    ValueError
        The bytes are not such a message.
    """
    large, contents = bytearray(), list[Buffer]()
    try:
        bare = _split(memoryview(message), tuple(path), large, contents)
    except IndexError:
        raise ValueError("the message ends too early") from None
    return bare, LargeArrays(bytes(large), contents)


def _split(
    view: memoryview, path: tuple[int, ...], large: bytearray, contents: list[Buffer]
) -> bytes:
    wanted = path[0] if path else ARRAY_DATA
    pieces: list[Buffer] = []
    found = False
    for number, whole, content in _fields(view):
        if number != wanted or content is None:
            pieces.append(whole)
        elif path:
            inner = _split(content, path[1:], large, contents)
            pieces += [_key(number), _varint(len(inner)), inner]
        elif found:
            raise ValueError("an array has two contents")
        elif content.nbytes >= LARGE_ARRAY_BYTES:
            contents.append(content)
            found = True
        else:
            pieces.append(whole)
    if not path:
        large.append(found)
    return b"".join(pieces)


def join_message(bare: Buffer, path: Sequence[int], arrays: LargeArrays) -> list[Buffer]:
    """Join a message and its larger arrays; return the message in pieces."""
    pieces, _ = _join(memoryview(bare), tuple(path), iter(arrays.is_large), iter(arrays.contents))
    return pieces


def _join(
    view: memoryview, path: tuple[int, ...], large: Iterator[int], contents: Iterator[Buffer]
) -> tuple[list[Buffer], int]:
    if not path:
        if not next(large):
            return [view], view.nbytes
        data = memoryview(next(contents))
        head = _key(ARRAY_DATA) + _varint(data.nbytes)
        return [view, head, data], view.nbytes + len(head) + data.nbytes
    pieces: list[Buffer] = []
    size = 0
    for number, whole, content in _fields(view):
        if number != path[0] or content is None:
            pieces.append(whole)
            size += whole.nbytes
            continue
        inner, inner_size = _join(content, path[1:], large, contents)
        head = _key(number) + _varint(inner_size)
        pieces += [head, *inner]
        size += len(head) + inner_size
    return pieces, size


def split_field(message: Buffer, number: int) -> tuple[bytes, list[memoryview]]:
    """Split a field that has a length from a message, however often it occurs.

    Returns
    -------
    tuple of bytes and list of memoryview
        The message without it, and its contents as views of `message`.

    Raises
    ------
    ValueError
        The bytes are not a message.
    """
    try:
        found = list(_fields(memoryview(message)))
    except IndexError:
        raise ValueError("the message ends too early") from None
    return (
        b"".join(whole for each, whole, content in found if each != number or content is None),
        [content for each, _, content in found if each == number and content is not None],
    )


def size_of(pieces: Iterable[Buffer]) -> int:
    """Return the number of bytes in all pieces."""
    return sum(memoryview(piece).nbytes for piece in pieces)


def in_chunks(pieces: Iterable[Buffer], size: int = _CHUNK_BYTES) -> Iterator[Buffer]:
    """Yield the same bytes in chunks of at most `size`; those of large pieces are not copied."""
    gathered = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        is_large = view.nbytes > size // 2
        if gathered and (is_large or len(gathered) + view.nbytes > size):
            yield bytes(gathered)
            gathered.clear()
        if is_large:
            yield from (view[start : start + size] for start in range(0, view.nbytes, size))
        else:
            gathered += view
    if gathered:
        yield bytes(gathered)


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Yield each field's number, all of it, and its content if it has a length."""
    at = 0
    while at < view.nbytes:
        start = at
        key, at = read_varint(view, at)
        number, kind = key >> 3, key & 7
        content = None
        if kind == _VARINT:
            _, at = read_varint(view, at)
        elif kind == _BYTES:
            length, at = read_varint(view, at)
            content = view[at : at + length]
            at += length
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"the message has a field of the unknown kind {kind}")
        if at > view.nbytes:
            raise ValueError("the message ends too early")
        yield number, view[start:at], content


def read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends.

    Raises
    ------
    IndexError
        The message ends before.
    """
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def head_of(number: int, size: int) -> bytes:
    """Return what goes before the content of a field that has a length."""
    return _key(number) + _varint(size)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _key(number: int) -> bytes:
    return _varint(number << 3 | _BYTES)
