"""One value of a state: what it is, without reading it, and its content when it is asked for."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from numpy.typing import NDArray

from fedstate.inspection.errors import InspectionError
from fedstate.inspection.stored import STRUCTURE, as_numpy, as_stored, type_name
from fedstate.state.codecs.base import Encoded
from fedstate.state.codecs.registry import codecs, guarded
from fedstate.state.content import Stored
from fedstate.state.digest import Digester
from fedstate.state.errors import (
    StateDamagedError,
    StateError,
    StateFitError,
    StateTypeError,
    StateVersionError,
)
from fedstate.state.history import History

Record = ArrayRecord | MetricRecord | ConfigRecord

HISTORY = "history"
_ARRAY = "numpy.array"


@dataclass(frozen=True)
class StoredArray:
    """An array of a record: its header, and where the store has its bytes.

    Attributes
    ----------
    array : Array
        The array; the data of a larger one is empty.
    size : int
        The bytes of its data.
    addresses : tuple of bytes
        The chunks of the data of a larger one.
    """

    array: Array
    size: int
    addresses: tuple[bytes, ...]


@dataclass(frozen=True)
class ArrayInfo:
    """What is known of an array without reading it: name, shape, dtype, and bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Attributes
    ----------
    where : str
        The state, as the subject of a sentence.
    read : callable
        Returns the bytes of an array, given the value's name and the array.
    digest : str, optional
        The digest of the record, by the ledger.
    problem : str, optional
        Why the value cannot be read, as far as that is known already.
    """

    where: str
    read: Callable[[str, StoredArray], bytes]
    digest: str | None
    problem: str | None


@dataclass(frozen=True)
class Value:
    """A value of a state, under its name.

    Attributes
    ----------
    name : str
        The name.
    """

    name: str
    _record: Record | None = field(repr=False)
    _arrays: Mapping[str, StoredArray] = field(repr=False)
    _stored: Stored | None = field(repr=False)
    _origin: Origin = field(repr=False)

    @property
    def tag(self) -> str | None:
        """The tag of the codec that stored it; None for a record that an app stored itself."""
        return self._stored.tag if self._stored else None

    @property
    def type(self) -> str:
        """What it is, in words, such as ``Keras weights``; of an app's own types the tag."""
        if self._record is None or (self._stored is None and self._origin.problem):
            return "unreadable"
        return type_name(self._record, self._stored)

    @property
    def problem(self) -> str | None:
        """Why it cannot be read, as far as that is known without reading it."""
        return self._origin.problem

    @property
    def is_history(self) -> bool:
        """Whether it is a history."""
        return self.tag == HISTORY

    @property
    def size(self) -> int:
        """The bytes that it takes, without those that are around it."""
        if isinstance(self._record, ArrayRecord):
            return sum(array.size for array in self._arrays.values())
        return sum(_bytes_of(item) for item in (self._record or {}).values())

    @property
    def arrays(self) -> list[ArrayInfo]:
        """The arrays that it is stored as; none of a value without arrays."""
        return [
            ArrayInfo(name, tuple(each.array.shape), each.array.dtype, each.size)
            for name, each in self._arrays.items()
        ]

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of a single array, the number of entries of a history, or None."""
        if self.is_history:
            meta = self._stored.meta if self._stored else {}
            total, dropped = meta.get("total"), meta.get("dropped")
            if not isinstance(total, int) or not isinstance(dropped, int):
                return None
            return (total - dropped,)
        return self.arrays[0].shape if self.tag == _ARRAY and len(self._arrays) == 1 else None

    @property
    def shape_text(self) -> str:
        """The shape, or how many arrays, elements or entries there are, in words."""
        if self.is_history:
            return _entries(self.shape[0]) if self.shape else ""
        if self.shape is not None:
            return " x ".join(map(str, self.shape)) or "one number"
        if self._arrays:
            count = sum(math.prod(each.array.shape) for each in self._arrays.values())
            arrays = "1 array" if len(self._arrays) == 1 else f"{len(self._arrays):,} arrays"
            return f"{arrays}, {count:,} numbers"
        if self._stored is None and self._record is not None:
            return _entries(len(self._record))
        return ""

    @property
    def dtype(self) -> str:
        """The dtypes of its arrays, each once; empty for a value without arrays."""
        if self.is_history:
            return "float64"
        return ", ".join(dict.fromkeys(each.array.dtype for each in self._arrays.values()))

    def load(self) -> Any:
        """Return the value as the app would read it.

        No framework is needed for models of Keras: they are arrays by layer and name. Of PyTorch
        it is the ``state_dict``, where PyTorch is installed. A value of a type that is not
        registered in this process, or whose package is not installed, comes as what it is stored
        as: plain values and arrays by name.

        Raises
        ------
        StateDamagedError, StoreDamagedError
            It is not what was stored; the value is named.
        InspectionError
            It has been replaced by a newer one.
        """
        record = self._checked()
        stored = self._stored
        if stored is None:
            return self._as_stored(record)
        try:
            encoded = Encoded(record, stored.meta, stored.fixed)
            codec, encoded = codecs.read(stored.tag, stored.version, encoded)
            value = guarded(codec, lambda: codec.decode(encoded))
        except (StateVersionError, StateTypeError):
            return self._as_stored(record)
        except StateError as error:
            raise self._damaged(error) from error
        if isinstance(value, History):
            value.name = self.name
        return value

    def load_stored(self) -> Any:
        """Return what the value is stored as: plain values, and arrays by name; see `load`."""
        return self._as_stored(self._checked())

    def load_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that the value is stored as, by name; see `load`.

        Types that NumPy does not have, such as bfloat16, are those of ml_dtypes, or bytes where
        that is not installed.
        """
        record = self._checked()
        try:
            return {key: as_numpy(array) for key, array in _arrays_of(record).items()}
        except StateError as error:
            raise self._damaged(error) from error

    def histories(self) -> list[str]:
        """Return the name of the history that this is, or of the lists of numbers in a record.

        Raises
        ------
        StateDamagedError
            It cannot be told: the value cannot be read.
        """
        if self.problem is not None:
            raise StateDamagedError(self.problem)
        if self.is_history:
            return [self.name]
        if self._stored is not None or isinstance(self._record, ArrayRecord | None):
            return []
        return [f"{self.name}/{key}" for key, item in self._record.items() if _is_series(item)]

    def history(self, name: str | None = None) -> History:
        """Return the history that this is, or a list of numbers in a record as one.

        Parameters
        ----------
        name : str, optional
            One of the names that `histories` has.

        Raises
        ------
        InspectionError
            It is something else.
        """
        value = self.load()
        if name is not None and name in self.histories() and not self.is_history:
            series = History()
            for number in value[name.removeprefix(f"{self.name}/")]:
                series.append(number)
            series.name = name
            return series
        if not isinstance(value, History):
            raise InspectionError(
                f"{self._origin.where} has no history {self.name!r}: that value is a {self.type}."
            )
        return value

    def load_into(self, model: Any) -> None:
        """Put the value into a model or optimizer, all of it or nothing, as ``state.load`` does.

        Raises
        ------
        InspectionError
            It is a record that an app stored itself, which does not say what it holds.
        StateFitError
            It does not fit; nothing has changed.
        StateDamagedError, StoreDamagedError
            It is not what was stored; the value is named.
        """
        record, stored = self._checked(), self._stored
        if stored is None:
            raise InspectionError(
                f"The value {self.name!r} is a {self.type} of the app's own, which does not say "
                "what it holds; take its arrays (`load`) instead."
            )
        try:
            encoded = Encoded(record, stored.meta, stored.fixed)
            codec, encoded = codecs.read(stored.tag, stored.version, encoded)
            codec.load(encoded, model)
        except StateFitError as error:
            raise StateFitError(self._named(error)) from error
        except StateError as error:
            raise self._damaged(error) from error

    @property
    def is_structured(self) -> bool:
        """Whether there is more in it than its arrays, if it has any."""
        return not self._arrays or (self._stored is not None and STRUCTURE in self._stored.meta)

    def same_content(self, other: "Value") -> bool:
        """Return whether two values of one store are known to be equal, without reading them."""
        mine, theirs = self._arrays, other._arrays  # noqa: SLF001
        if list(mine) != list(theirs) or self._stored != other._stored:  # noqa: SLF001
            return False
        if not isinstance(self._record, ArrayRecord):
            return self._record == other._record  # noqa: SLF001
        return all(
            mine[key].addresses == theirs[key].addresses and mine[key].array == theirs[key].array
            for key in mine
        )

    def _as_stored(self, record: Record) -> Any:
        try:
            return as_stored(record, self._stored)
        except StateError as error:
            raise self._damaged(error) from error

    def _checked(self) -> Record:
        """Return the record with all its bytes, after comparing it with the ledger."""
        if self._origin.problem is not None:
            raise StateDamagedError(self._origin.problem)
        record = self._record
        if record is None:
            raise StateDamagedError(f"{self._origin.where} has no value {self.name!r}.")
        if isinstance(record, ArrayRecord):
            record = ArrayRecord({key: self._whole(each) for key, each in self._arrays.items()})
        digest = self._origin.digest
        if digest is not None:
            fixed = self._stored.fixed if self._stored else None
            if Digester().record(self.name, record, fixed) != digest:
                raise StateDamagedError(
                    f"{self._origin.where}: value {self.name!r} is not as its commit left it; it "
                    "was changed outside a commit or is damaged. `load_stored` has what is there."
                )
        return record

    def _whole(self, each: StoredArray) -> Array:
        if not each.addresses:
            return each.array
        data = self._origin.read(self.name, each)
        return Array(each.array.dtype, each.array.shape, each.array.stype, data)

    def _damaged(self, error: StateError) -> StateDamagedError:
        return StateDamagedError(self._named(error))

    def _named(self, error: StateError) -> str:
        sentence = str(error).rstrip(".")
        return f"{self._origin.where}: value {self.name!r}: {sentence}."


def _arrays_of(record: Record) -> Mapping[str, Array]:
    return record if isinstance(record, ArrayRecord) else {}


def _is_series(item: object) -> bool:
    return isinstance(item, list) and len(item) > 0 and all(type(i) in (int, float) for i in item)


def _bytes_of(item: object) -> int:
    if isinstance(item, str):
        return len(item.encode("utf-8", "surrogatepass"))
    if isinstance(item, bytes):
        return len(item)
    if isinstance(item, list):
        return sum(_bytes_of(each) for each in item)
    return 8


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
