"""Digests that cover a state's content canonically: equal content, equal digest, anywhere.

A state is a tree (Merkle, 1987): arrays and values are hashed into their record, records into
the state. Names of records, and of entries in a MetricRecord or ConfigRecord, are sorted, for
their order is not content. The order of an ArrayRecord is, because ``to_numpy_ndarrays`` hands
its arrays out by position. Every part is framed by its length, so no two trees look alike.
"""

import hashlib
import os
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord

from fedstate.state.errors import StateTypeError

Record = ArrayRecord | MetricRecord | ConfigRecord

_INT64_MIN, _INT64_MAX, _UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1
# Part of what a digest is: another size would give other digests.
_PIECE = 2**20
_THREADS = min(8, os.cpu_count() or 1)
# The order in which flwr looks for the type of a value: a bool is an int in Python.
_SCALARS: tuple[type, ...] = (bool, int, float, str, bytes)


class Digester:
    """Digests of arrays and records, remembered for the length of one step.

    Hashing is most of what a commit of large arrays costs. An array that a step did not replace
    still holds the very same ``bytes`` object, which cannot have changed, and is not hashed
    again; the reference kept here makes sure that its identity is not given to another.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, bytes]] = {}

    def array(self, array: Array) -> bytes:
        """Return the SHA-256 digest of one array: dtype, shape, serialization type and data."""
        if type(array.data) is not bytes:
            raise StateTypeError(
                f"An Array holds data of type {type(array.data).__name__}; it must be bytes."
            )
        known = self._known.get(id(array.data))
        if known is None or known[0] is not array.data:
            known = (array.data, _data_digest(array.data))
            self._known[id(array.data)] = known
        shape = tuple(int(size) for size in array.shape)
        head = repr((array.dtype, array.stype, shape)).encode()
        return hashlib.sha256(_frame(b"array", head, known[1])).digest()

    def record(self, name: str, record: Record, fixed: Mapping[str, str] | None = None) -> str:
        """Return the digest of one record, in hexadecimal.

        Parameters
        ----------
        name : str
            The record's name, for the error message only.
        record : ArrayRecord | MetricRecord | ConfigRecord
            The record.
        fixed : Mapping[str, str] | None
            Digests, by key, of arrays that are known not to have changed (see
            `fedstate.state.history`); they are taken as they are, without hashing.

        Raises
        ------
        StateTypeError
            If the record holds what Flower could not send, and so would lose, when the Context
            is pushed: flwr checks values when they are set, but not when they are changed in
            place.
        """
        fixed = fixed or {}
        parts = [type(record).__name__.encode()]
        if isinstance(record, ArrayRecord):
            for key, array in record.items():
                known = bytes.fromhex(fixed[key]) if key in fixed else self.array(array)
                parts += [_text(name, key, key), known]
        else:
            for key in sorted(record):
                parts += [_text(name, key, key), _value(name, key, record[key])]
            if isinstance(record, MetricRecord):
                _check_metrics(name, record)
        return hashlib.sha256(_frame(*parts)).hexdigest()


def combine(digests: Mapping[str, str]) -> str:
    """Return the digest of a state from the digests of its records by name.

    That of a state without records is the empty string, so that the first commit has no parent.
    """
    if not digests:
        return ""
    parts = [b"state"]
    for name in sorted(digests):
        parts += [name.encode(), bytes.fromhex(digests[name])]
    return hashlib.sha256(_frame(*parts)).hexdigest()


def _data_digest(data: bytes) -> bytes:
    """Return the digest of an array's bytes, piece by piece, the pieces side by side.

    SHA-256 takes as long for 100 MB as copying them does; hashlib lets other threads run
    meanwhile, so that on two cores it is half of that.
    """
    view = memoryview(data)
    pieces = [view[start : start + _PIECE] for start in range(0, len(view), _PIECE)]
    if len(pieces) < 2:
        digests = [hashlib.sha256(view).digest()]
    else:
        with ThreadPoolExecutor(min(len(pieces), _THREADS)) as threads:
            digests = list(threads.map(lambda piece: hashlib.sha256(piece).digest(), pieces))
    return hashlib.sha256(_frame(b"data", *digests)).digest()


def _frame(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def _value(name: str, key: str, value: object) -> bytes:
    """Return a scalar or list as bytes, tagged with the type that it comes back with."""
    items = value if isinstance(value, list) else [value]
    for kind in _SCALARS:
        if all(isinstance(item, kind) for item in items):
            shape = b"list" if isinstance(value, list) else b"one"
            # flwr brings an empty list back as one without a type.
            tag = kind.__name__.encode() if items else b""
            return _frame(shape, tag, _items(name, key, kind, items))
    types = sorted({type(item).__name__ for item in items})
    raise StateTypeError(
        f"Record {name!r} has {key!r} of type {' and '.join(types)}, which Flower cannot send; "
        "use one of bool, int, float, str, bytes, or a list of one of them."
    )


def _items(name: str, key: str, kind: type, items: list[object]) -> bytes:
    if kind is float:
        return struct.pack(f"<{len(items)}d", *items)
    if kind is str:
        return _frame(*(_text(name, key, str(item)) for item in items))
    if kind is bytes:
        return _frame(*(bytes(item) for item in items if isinstance(item, bytes)))
    numbers = [int(item) for item in items if isinstance(item, int)]
    low, high = min(numbers, default=0), max(numbers, default=0)
    if low < _INT64_MIN or high > (_INT64_MAX if low < 0 else _UINT64_MAX):
        raise StateTypeError(
            f"Record {name!r} has {key!r} with integers from {low} to {high}, which do not fit "
            "into 64 bits together."
        )
    return b",".join(str(number).encode() for number in numbers)


def _text(name: str, key: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise StateTypeError(
            f"Record {name!r} has {key!r} with text that is not valid Unicode ({error})."
        ) from None


def _check_metrics(name: str, record: MetricRecord) -> None:
    for key, value in record.items():
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, bool) or not isinstance(item, int | float) for item in items):
            raise StateTypeError(
                f"MetricRecord {name!r} has {key!r} with {value!r}; metrics are int or float."
            )
