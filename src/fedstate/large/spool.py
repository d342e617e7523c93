"""Arrays of a message that wait in a file until somebody reads them.

A ServerApp is handed all replies of a round at once, and reads one after the other. So it need
not have more than one of them in memory: the larger arrays of the others wait in a temporary file
without a name, which ends with the last of its arrays.
"""

import errno
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fedstate.large.wire import Buffer
from fedstate.logs import logger

_STYPE = "numpy.ndarray"
_MAGIC = b"\x93NUMPY"
_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
# The head of an array is at the beginning of its first piece.
_HEAD_BYTES = 4096
_COPIED_BYTES = 1024 * 1024


class Spool:
    """A temporary file without a name; any thread may write to it and read from it.

    It is made with the first bytes, in the directory that the standard library chooses.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor = -1
        self._end = 0
        self._is_full = False

    def put(self, content: Buffer) -> "Spooled | None":
        """Write bytes; return where they are, or None if there is no room for them."""
        view = memoryview(content)
        with self._lock:
            if self._is_full or not self._is_open():
                return None
            start = self._end
            self._end += view.nbytes
        try:
            written = 0
            while written < view.nbytes:
                written += os.pwrite(self._descriptor, view[written:], start + written)
        except OSError as error:
            self._fail(error)
            return None
        return Spooled(self, start, view.nbytes)

    def read_into(self, target: memoryview, start: int) -> None:
        """Fill `target` with the bytes from `start` on."""
        done = 0
        while done < target.nbytes:
            count = os.preadv(self._descriptor, [target[done:]], start + done)
            if not count:
                raise OSError(errno.EIO, "a temporary file has become shorter")
            done += count

    def read(self, start: int, nbytes: int) -> bytes:
        """Return bytes of the file."""
        data = os.pread(self._descriptor, nbytes, start)
        if len(data) == nbytes:
            return data
        whole = bytearray(nbytes)
        self.read_into(memoryview(whole), start)
        return bytes(whole)

    def view(self, start: int, nbytes: int) -> memoryview:
        """Return bytes of the file without a copy of them in memory."""
        if not nbytes:
            return memoryview(b"")
        skip = start % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(
            self._descriptor, skip + nbytes, prot=mmap.PROT_READ, offset=start - skip
        )
        return memoryview(mapped)[skip:]

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._end

    def _is_open(self) -> bool:
        if self._descriptor < 0:
            try:
                with tempfile.TemporaryFile(prefix="fedstate-replies-", buffering=0) as file:
                    self._descriptor = os.dup(file.fileno())
            except OSError as error:
                self._fail(error)
                return False
            weakref.finalize(self, os.close, self._descriptor).atexit = False
        return True

    def _fail(self, error: OSError) -> None:
        # Whatever the reason, nothing is lost: what was to wait here is still in memory.
        self._is_full = True
        logger.warning(
            "Large arrays cannot wait in a temporary file in %s (%s): they stay in memory.",
            *(_directory(), error.strerror),
        )


def _directory() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # there is none that can be written to
        return "TMPDIR"


class Spooled:
    """Bytes in a spool.

    Attributes
    ----------
    nbytes : int
        How many.
    """

    def __init__(self, spool: Spool, start: int, nbytes: int) -> None:
        self._spool = spool
        self._start = start
        self.nbytes = nbytes

    def read_into(self, target: memoryview, skip: int = 0) -> None:
        """Fill `target` with the bytes from the one of the number `skip` on."""
        self._spool.read_into(target, self._start + skip)

    def read(self) -> bytes:
        """Return the bytes."""
        return self._spool.read(self._start, self.nbytes)

    def view(self) -> memoryview:
        """Return the bytes without a copy of them in memory."""
        return self._spool.view(self._start, self.nbytes)


Piece = Buffer | Spooled


class ArrayOfPieces(Array):
    """An Array whose bytes are in pieces, which are put together when they are asked for.

    It is as every other Array, and one that is given other bytes keeps these. Pieces in a spool
    are read anew each time.

    Parameters
    ----------
    dtype, shape, stype
        As of an Array.
    pieces : sequence of bytes, memoryview or Spooled
        Its bytes, one piece after the other.
    """

    def __init__(
        self, dtype: str, shape: tuple[int, ...], stype: str, pieces: Sequence[Piece]
    ) -> None:
        self._pieces: Sequence[Piece] | None = pieces
        self._data = b""
        self.dtype, self.shape, self.stype = dtype, shape, stype

    @property
    def data(self) -> bytes:
        """The bytes; of those that wait in a spool, whoever asks for them has a copy."""
        if self._pieces is None:
            return self._data
        joined = BytesIO()
        for piece in self._pieces:
            for part in _parts(piece):
                joined.write(part)
        data = joined.getvalue()
        if not any(isinstance(piece, Spooled) for piece in self._pieces):
            self.data = data
        return data

    @data.setter
    def data(self, data: bytes) -> None:
        self._pieces, self._data = None, data

    def twin(self) -> "ArrayOfPieces":
        """Return another Array with the same bytes, which can be given others by itself."""
        if self._pieces is not None:
            return ArrayOfPieces(self.dtype, self.shape, self.stype, self._pieces)
        return ArrayOfPieces(self.dtype, self.shape, self.stype, [self._data])

    def numpy(self) -> NDArray[Any]:
        """Return the array as a NumPy array, into which its bytes are read at once."""
        pieces = self._pieces
        if pieces is None or self.stype != _STYPE or (head := _npy_head(pieces)) is None:
            return super().numpy()
        shape, dtype, start = head
        array = np.empty(shape, dtype)
        target = array.reshape(-1).view(np.uint8).data
        if target.nbytes != sum(map(_size, pieces)) - start:
            return super().numpy()  # which says what is wrong
        at = 0
        for piece in pieces:
            room = target[at : at + _size(piece) - start]
            if isinstance(piece, Spooled):
                piece.read_into(room, start)
            else:
                room[:] = memoryview(piece)[start:]
            at, start = at + room.nbytes, 0
        return array

    def deflate(self) -> bytes:
        """Return the array as an object, which does not tell where its bytes have waited."""
        kind, own = Array.__qualname__.encode(), type(self).__qualname__.encode()
        return kind + super().deflate().removeprefix(own)

    def __eq__(self, other: object) -> bool:
        """Return whether another Array has the same fields, as dataclasses compare."""
        if not isinstance(other, Array):
            return NotImplemented
        mine, theirs = ((each.dtype, each.shape, each.stype) for each in (self, other))
        return mine == theirs and self.data == other.data

    __hash__ = None  # type: ignore[assignment]  # as of an Array

    def __reduce__(self) -> Any:
        """Let a copy, in this process or another, have its bytes in memory."""
        return Array, (self.dtype, self.shape, self.stype, self.data)


def _size(piece: Piece) -> int:
    return piece.nbytes if isinstance(piece, Spooled) else memoryview(piece).nbytes


def _parts(piece: Piece) -> Iterator[Buffer]:
    """Yield the bytes of a piece, few of them at a time."""
    if not isinstance(piece, Spooled):
        yield piece
        return
    part = bytearray(min(_COPIED_BYTES, piece.nbytes))
    for start in range(0, piece.nbytes, _COPIED_BYTES):
        view = memoryview(part)[: piece.nbytes - start]
        piece.read_into(view, start)
        yield view


def _npy_head(pieces: Sequence[Piece]) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    """Return shape, dtype and where the elements begin; None if that is not simple to say."""
    if not pieces:
        return None
    first = pieces[0]
    head = bytearray(min(_HEAD_BYTES, _size(first)))
    if isinstance(first, Spooled):
        first.read_into(memoryview(head))
    else:
        head[:] = memoryview(first)[: len(head)]
    if not head.startswith(_MAGIC):
        return None
    buffer = BytesIO(head)
    try:
        shape, fortran_order, dtype = _READERS[npy_format.read_magic(buffer)](buffer)
    except (ValueError, KeyError, SyntaxError):
        return None
    is_simple = not fortran_order and not dtype.hasobject and dtype.itemsize and 0 not in shape
    return (shape, dtype, buffer.tell()) if is_simple else None
