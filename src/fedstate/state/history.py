"""Metric histories: a series that grows by an entry per step, and stays cheap to append to.

Entries are kept in chunks. A full chunk never changes again, so its digest is kept beside it
and it is neither read nor hashed by a step that only appends: that costs the same after
100,000 entries as after ten. Full chunks are checked against their digests when they are read.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, Self, SupportsIndex, overload

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.digest import Digester
from fedstate.state.errors import (
    StateDamagedError,
    StateEntryError,
    StateError,
    StateTypeError,
)
from fedstate.state.kinds.tensorflow_values import (
    as_array,
    is_eager,
    is_keras_variable,
    is_variable,
)

_CHUNK = 4096
_NO_ROUND = -1
_DTYPE = np.dtype([("round", "<i8"), ("value", "<f8")])


class HistoryEntry(NamedTuple):
    """One value of a history, and the server's round that it belongs to, if it is known."""

    server_round: int | None
    value: float


class History:
    """A growing series of floats with a round per entry.

    Parameters
    ----------
    limit : int | None
        How many entries to keep, the newest; None keeps all.

    Attributes
    ----------
    name : str | None
        The name that it has in the state.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._stored = ArrayRecord()
        self._fixed: dict[str, str] = {}
        self._dropped = 0
        self._stored_total = 0
        self._new: list[tuple[int, float]] = []
        self.current_round: int | None = None
        self.name: str | None = None
        # Called before the first entry, where the history is not stored before it has one.
        self.before_first: Callable[[], None] | None = None
        self.limit = limit

    @property
    def limit(self) -> int | None:
        """How many entries are kept; older ones are dropped when the step commits."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise StateTypeError(
                f"A history's limit is {limit!r}; it must be 1 or more, or None."
            )
        self._limit = limit

    def append(self, value: Any, server_round: int | None = None) -> None:
        """Add an entry.

        Parameters
        ----------
        value : float
            A number: Python's, NumPy's, or a tensor or variable with one element.
        server_round : int | None
            The round; None stands for that of the message under way.

        Raises
        ------
        StateTypeError
            If the value is not a number, or has no exact float64.
        """
        if server_round is None:
            server_round = self.current_round
        elif type(server_round) is not int or not 0 <= server_round < 2**63:
            raise StateTypeError(f"A history's round is {server_round!r}; it must be 0 or more.")
        number = _NO_ROUND if server_round is None else server_round
        entry = (number, _float(value))
        if self.before_first is not None:
            self.before_first()
            self.before_first = None
        self._new.append(entry)

    def __len__(self) -> int:
        """Return how many entries are kept."""
        count = self._stored_total - self._dropped + len(self._new)
        return count if self._limit is None else min(count, self._limit)

    @property
    def dropped(self) -> int:
        """How many entries were dropped since the first, to keep to the limit."""
        return self._stored_total + len(self._new) - len(self)

    @property
    def values(self) -> NDArray[np.float64]:
        """The values, oldest first, shape ``(len,)``."""
        return np.ascontiguousarray(self._entries()["value"])

    @property
    def rounds(self) -> list[int | None]:
        """The rounds, oldest first."""
        return [entry.server_round for entry in self]

    def __iter__(self) -> Iterator[HistoryEntry]:
        """Yield the entries, oldest first."""
        for item in self._entries().tolist():
            yield _entry(item)

    @overload
    def __getitem__(self, index: SupportsIndex) -> HistoryEntry: ...

    @overload
    def __getitem__(self, index: slice) -> list[HistoryEntry]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> HistoryEntry | list[HistoryEntry]:
        """Return one entry, -1 is the newest, or those of a slice.

        Raises
        ------
        StateEntryError
            If there is no such entry; it is an ``IndexError``, too.
        """
        if isinstance(index, slice):
            return [_entry(item) for item in self._entries()[index].tolist()]
        position, count = operator.index(index), len(self)
        if not -count <= position < count:
            has = f"it has {count} entries" if count else "it is empty"
            raise StateEntryError(f"{self._shown} has no entry {position}: {has}.")
        return _entry(self._entries()[position].item())

    def frame(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each entry: its round and its value.

        Raises
        ------
        InspectionError
            pandas is not installed.
        """
        from fedstate.inspection.tables import (
            import_pandas,  # only who looks into states needs it
        )

        pd = import_pandas()
        rounds = pd.array(self.rounds, dtype="Int64")
        return pd.DataFrame({"round": rounds, "value": self.values})

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same entries, limit and number dropped."""
        if not isinstance(other, History):
            return NotImplemented
        mine, theirs = self._entries(), other._entries()
        same = (self.limit, self.dropped) == (other.limit, other.dropped)
        return same and mine.tobytes() == theirs.tobytes()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return the newest entries in short."""
        newest = ", ".join(f"{value:.6g}" for value in self.values[-3:])
        name = "" if self.name is None else f"{self.name!r}, "
        return f"History({name}{len(self)} entries{f', newest: {newest}' if newest else ''})"

    @property
    def _shown(self) -> str:
        return "A history" if self.name is None else f"The history {self.name!r}"

    def encoded(self) -> Encoded:
        """Return the stored chunks as they are, with new and dropped entries worked in."""
        total, dropped = self._stored_total + len(self._new), self.dropped
        # Setting an item of a record costs far more than copying it whole.
        chunks = self._stored.copy() if dropped == self._dropped else ArrayRecord()
        fixed: dict[str, str] = {}
        digester = Digester()
        for first in range(dropped - dropped % _CHUNK, total, _CHUNK):
            start, stop = max(first, dropped), min(first + _CHUNK, total)
            key = str(start)
            if key in self._fixed:
                fixed[key] = self._fixed[key]
                if key not in chunks:
                    chunks[key] = self._stored[key]
                continue
            chunks[key] = encode_array(self._part(first, start, stop))
            if stop - start == _CHUNK:
                fixed[key] = digester.array(chunks[key]).hex()
        meta = {"limit": self.limit, "dropped": dropped, "total": total}
        return Encoded(chunks, meta, fixed)

    @classmethod
    def from_encoded(cls, encoded: Encoded) -> Self:
        """Return a history whose full chunks are read and checked when they are needed.

        Raises
        ------
        StateDamagedError
            If `encoded` is not what `encoded` returns.
        """
        meta, record = encoded.meta, encoded.record
        limit, dropped, total = meta.get("limit"), meta.get("dropped"), meta.get("total")
        if (
            not isinstance(record, ArrayRecord)
            or type(dropped) is not int
            or type(total) is not int
            or not 0 <= dropped <= total <= (len(record) + dropped // _CHUNK) * _CHUNK
        ):
            raise StateDamagedError(f"its record is not that of a history ({meta})")
        history = cls(limit)
        starts = range(dropped - dropped % _CHUNK, total, _CHUNK)
        keys = [str(max(first, dropped)) for first in starts]
        if list(record) != keys or not set(encoded.fixed) <= set(keys):
            raise StateDamagedError(f"it should have chunks {keys} and has {list(record)}")
        for first, key in zip(starts, keys, strict=True):
            count = min(first + _CHUNK, total) - int(key)
            if tuple(record[key].shape) != (count,):
                raise StateDamagedError(
                    f"its chunk {key} has shape {record[key].shape}, not {(count,)}"
                )
        history._stored, history._fixed = record, encoded.fixed
        history._dropped, history._stored_total = dropped, total
        return history

    def _entries(self) -> NDArray[Any]:
        digester = Digester()
        chunks = []
        for key, array in self._stored.items():
            if key in self._fixed and digester.array(array).hex() != self._fixed[key]:
                raise StateDamagedError(
                    f"A history's entries from {key} on do not match their digest."
                )
            chunks.append(_decode_chunk(array))
        entries = np.concatenate([*chunks, np.array(self._new, _DTYPE)])
        return entries[len(entries) - len(self) :]

    def _part(self, first: int, start: int, stop: int) -> NDArray[Any]:
        """Return the entries from `start` to `stop`, counted from the first there ever was."""
        parts = [np.empty(0, _DTYPE)]
        stored_key = str(max(first, self._dropped))
        if start < self._stored_total:
            parts.append(_decode_chunk(self._stored[stored_key])[start - int(stored_key) :])
        begin, end = (max(position - self._stored_total, 0) for position in (start, stop))
        parts.append(np.array(self._new[begin:end], _DTYPE))
        return np.concatenate(parts)


class HistoryCodec(Codec[History]):
    """One Array per chunk, keyed by the position of the chunk's first entry."""

    tag = "history"
    described: ClassVar = (
        ("`history(name)`: a growing series of numbers with their rounds", "the same"),
    )

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a history."""
        return isinstance(value, History)

    def encode(self, value: History) -> Encoded:
        """Return an ArrayRecord with the chunks."""
        return value.encoded()

    def decode(self, encoded: Encoded) -> History:
        """Return the history."""
        return History.from_encoded(encoded)


def _entry(item: tuple[int, float]) -> HistoryEntry:
    number, value = item
    return HistoryEntry(None if number == _NO_ROUND else number, value)


def _decode_chunk(array: Array) -> NDArray[Any]:
    try:
        chunk = decode_array(array)
    except StateError as error:
        raise StateDamagedError(f"A history's entries cannot be read: {error}.") from error
    if chunk.dtype != _DTYPE or chunk.ndim != 1:
        raise StateDamagedError(f"A history's entries have dtype {array.dtype}.")
    return chunk


def _float(value: Any) -> float:
    try:
        if is_keras_variable(value) or is_variable(value) or is_eager(value):
            value = as_array(value)
        plain = value.item() if hasattr(value, "item") else value
        # A bool, or text that looks like a number, is a mistake in a series of metrics.
        number = float(plain) if isinstance(plain, int | float) else None
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = None
    if number is None or isinstance(plain, bool):
        raise StateTypeError(
            f"A history's value is {value!r}; it must be one number (loss, accuracy, …)."
        )
    if isinstance(plain, int) and int(number) != plain:
        raise StateTypeError(f"A history's value is {value}, which has no exact float64.")
    return number
