"""Arrays as Flower's objects, with one copy and one digest of each byte.

flwr takes a message apart into objects and names each by its SHA-256. On the way out it makes
each chunk of an array anew three times, with two copies each time, hashes it twice, and has all
objects in memory before it sends one; on the way in it copies a chunk three times. With large
models this is a good part of what a task costs beside its training. In the processes that run
apps the same bytes, and the same names, come about with less; apps see nothing of it.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from copy import copy
from io import BytesIO
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord

# The pieces that flwr cuts arrays into, and their size.
from flwr.app.message.arraychunk import ArrayChunk
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, SType

# The form of an object: a head, a divider, and a body.
from flwr.supercore.constant import (
    FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PUSHES,
    HEAD_BODY_DIVIDER,
    HEAD_VALUE_DIVIDER,
)
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_object_body,
    get_object_children_ids_from_object_content,
)
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fedstate.large.spool import ArrayOfPieces
from fedstate.large.wire import Buffer

_HASHING_THREADS = 2
_PLAIN_KINDS = "biufc"
# NumPy's own way is as quick for what is smaller.
_SMALLEST_BYTES = 64 * 1024
_CHUNK_KIND = ArrayChunk.__qualname__
_array_inflate = Array.inflate
_record_inflate = ArrayRecord.inflate
_array_from_numpy = Array.from_numpy_ndarray
_chunk_inflate = ArrayChunk.inflate


def use_quick_objects() -> None:
    """Let every array of this process be taken apart and put together quickly."""
    # flwr's own classes are what its functions, and apps, have to do with.
    ArrayChunk.deflate = _deflate_chunk  # type: ignore[method-assign]
    ArrayChunk.object_id = property(_chunk_id)  # type: ignore[assignment, method-assign]
    ArrayChunk.inflate = classmethod(_inflate_chunk)  # type: ignore[assignment, method-assign]
    Array.from_numpy_ndarray = classmethod(_from_numpy)  # type: ignore[assignment, method-assign]
    Array.slice_array = _slice_array  # type: ignore[method-assign]
    Array.inflate = classmethod(_inflate_array)  # type: ignore[assignment, method-assign]
    ArrayRecord.inflate = classmethod(_inflate_record)  # type: ignore[assignment, method-assign]
    inflatable_utils.push_object_contents_from_iterable = _push_few_at_once


def body_of(content: bytes) -> memoryview:
    """Return the body of an object without a copy of it."""
    start = content.index(HEAD_BODY_DIVIDER) + len(HEAD_BODY_DIVIDER)
    return memoryview(content)[start:]


def is_chunk(content: bytes) -> bool:
    """Return whether an object is a piece of an array."""
    return content.startswith(f"{_CHUNK_KIND}{HEAD_VALUE_DIVIDER}".encode())


def pieces_of(thing: InflatableObject) -> Sequence[Buffer]:
    """Return what an object is sent as, in pieces; that of an array is not copied."""
    if isinstance(thing, ArrayChunk):
        return _head_of(len(thing.data)), thing.data
    return (thing.deflate(),)


def _head_of(size: int) -> bytes:
    """Return the head of a chunk of `size` bytes, divider included."""
    head = HEAD_VALUE_DIVIDER.join((_CHUNK_KIND, "", str(size)))
    return head.encode() + HEAD_BODY_DIVIDER


def _deflate_chunk(self: ArrayChunk) -> bytes:
    return b"".join((_head_of(len(self.data)), self.data))


def _chunk_id(self: ArrayChunk) -> str:
    """Return the digest of the chunk as an object, which is not made for it."""
    data = self.data
    known: tuple[memoryview, str] | None = self.__dict__.get("_known_id")
    # Bytes cannot have changed since; a view of something else can.
    if known is not None and known[0] is data:
        return known[1]
    digest = hashlib.sha256(_head_of(len(data)))
    digest.update(data)
    found = digest.hexdigest()
    if isinstance(data, memoryview) and type(data.obj) is bytes:
        self.__dict__["_known_id"] = data, found
    return found


def _inflate_chunk(
    cls: type[ArrayChunk], content: bytes, children: dict[str, Any] | None = None
) -> ArrayChunk:
    if children or not is_chunk(content):
        return _chunk_inflate(content, children)  # which says what is wrong
    return cls(body_of(content))


def _from_numpy(cls: type[Array], ndarray: NDArray[Any]) -> Array:
    """Return the Array that NumPy's `save` makes, without its copies of large arrays."""
    if (
        type(ndarray) is not np.ndarray
        or ndarray.dtype.kind not in _PLAIN_KINDS
        or ndarray.dtype.isbuiltin != 1
        or not ndarray.flags.c_contiguous
        or ndarray.nbytes < _SMALLEST_BYTES
    ):
        return _array_from_numpy(ndarray)
    head = BytesIO()
    npy_format.write_array_header_1_0(head, npy_format.header_data_from_array_1_0(ndarray))
    data = b"".join((head.getvalue(), ndarray.reshape(-1).view(np.uint8).data))
    return cls(str(ndarray.dtype), tuple(ndarray.shape), SType.NUMPY, data)


def _slice_array(self: Array) -> list[tuple[str, Any]]:
    """Return the chunks of an array with their names, hashed on two threads where that helps."""
    if "_chunks" not in self.__dict__:
        view, size = memoryview(self.data), FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
        chunks = [ArrayChunk(view[at : at + size]) for at in range(0, len(view), size)]
        if len(chunks) > 1:
            # hashlib lets go of the interpreter's lock.
            with ThreadPoolExecutor(_HASHING_THREADS, "object-id") as threads:
                ids = list(threads.map(_chunk_id, chunks))
        else:
            ids = [each.object_id for each in chunks]
        self.__dict__["_chunks"] = list(zip(ids, chunks, strict=True))
    return cast("list[tuple[str, Any]]", self.__dict__["_chunks"])


def array_parts(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """Return what an Array's object says of it, and the IDs of its chunks in their order."""
    ids = get_object_children_ids_from_object_content(content)
    said: dict[str, Any] = json.loads(get_object_body(content, Array))
    return said, [ids[index] for index in said["arraychunk_ids"]]


def _inflate_array(
    _: type[Array], content: bytes, children: dict[str, Any] | None = None
) -> Array:
    said, chunk_ids = array_parts(content)
    chunks: dict[str, ArrayChunk] = children or {}
    if set(chunk_ids) != set(chunks):
        return _array_inflate(content, children)
    pieces = [chunks[each].data for each in chunk_ids]
    return ArrayOfPieces(said["dtype"], tuple(said["shape"]), said["stype"], pieces)


def _inflate_record(
    _: type[ArrayRecord], content: bytes, children: dict[str, Any] | None = None
) -> ArrayRecord:
    arrays: dict[str, Any] = children or {}
    if set(arrays) != set(array_ids(content).values()) or not _are_arrays(arrays.values()):
        return _record_inflate(content, children)  # which says what is wrong
    return record_of(content, arrays)


def array_ids(content: bytes) -> dict[str, str]:
    """Return the names of the arrays in an ArrayRecord's object, and their IDs."""
    ids: dict[str, str] = json.loads(get_object_body(content, ArrayRecord))
    return ids


def record_of(content: bytes, arrays: Mapping[str, Array]) -> ArrayRecord:
    """Return the record that an object stands for; no array is put together for it.

    Parameters
    ----------
    content : bytes
        The ArrayRecord's object.
    arrays : mapping of str to Array
        Its arrays by their ID. An array that has several names is another one for each.
    """
    record = ArrayRecord()
    for name, array_id in array_ids(content).items():
        array = arrays[array_id]
        record[name] = array.twin() if isinstance(array, ArrayOfPieces) else copy(array)
    return record


def _are_arrays(things: Iterable[Any]) -> bool:
    return all(isinstance(each, Array) for each in things)


def _push_few_at_once(
    object_contents: Iterable[tuple[str, bytes]],
    push_object_fn: Callable[[str, bytes], None],
    *,
    max_concurrent_pushes: int = FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PUSHES,
) -> None:
    """Push objects as flwr does, each made when its turn comes, so that few are in memory."""
    workers = inflatable_utils.get_num_workers(max_concurrent_pushes)
    pool = ThreadPoolExecutor(workers, "object-push")
    pushing: set[Future[None]] = set()
    try:
        for object_id, content in object_contents:
            pushing.add(pool.submit(push_object_fn, object_id, content))
            del content
            if len(pushing) > workers:
                pushed, pushing = wait(pushing, return_when=FIRST_COMPLETED)
                for each in pushed:
                    each.result()
        for each in pushing:
            each.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
