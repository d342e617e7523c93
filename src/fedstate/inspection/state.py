"""One state of a run: a Context as it was committed, value by value, read when it is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict

from fedstate.flower.stored_values import decode_context
from fedstate.inspection.errors import InspectionError, NotFoundError
from fedstate.inspection.source import Source
from fedstate.inspection.tables import Table
from fedstate.inspection.value import Origin, StoredArray, Value
from fedstate.state.content import MANIFEST_RECORD, RESERVED_PREFIX, Stored
from fedstate.state.errors import StateDamagedError, StateError
from fedstate.state.history import History
from fedstate.state.ledger import Ledger, LedgerEntry
from fedstate.store.errors import DamagedValueError
from fedstate.store.kept_states import KeptState
from fedstate.store.values import Value as StoredValue


class Values(Mapping[str, Value]):
    """The values of a state, by name."""

    def __init__(self, values: dict[str, Value], where: str) -> None:
        self._values = values
        self._where = where

    def __getitem__(self, name: str) -> Value:
        """Return a value.

        Raises
        ------
        NotFoundError
            There is none of that name; it is a ``KeyError``, too.
        """
        if name not in self._values:
            known = ", ".join(map(repr, self._values)) or "none"
            raise NotFoundError(f"{self._where} has no value {name!r}; it has {known}.")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._values)

    def __repr__(self) -> str:
        """Return the names."""
        return f"Values({', '.join(self._values)})"

    def history(self, name: str) -> History:
        """Return a history.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        if name in self._values:
            return self._values[name].history()
        # What cannot be read is no reason to give up what can be.
        for value in self._values.values():
            if value.problem is None and name in value.histories():
                return value.history(name)
        known = ", ".join(map(repr, self.histories())) or "none"
        raise NotFoundError(f"{self._where} has no history {name!r}; it has {known}.")

    def histories(self) -> list[str]:
        """Return the names of the histories.

        A list of numbers in a record of an app without fedstate's library is one, too: its name
        is ``RECORD/KEY``, and it has no rounds.

        Raises
        ------
        StateDamagedError
            A value cannot be read, and may be one; it is named.
        """
        return [name for value in self._values.values() for name in value.histories()]

    def table(self) -> Table:
        """Return a row for each value."""
        columns = ("name", "type", "shape", "dtype", "size_bytes")
        rows = [
            {
                "name": value.name,
                "type": value.type,
                "shape": value.shape_text,
                "dtype": value.dtype,
                "size_bytes": value.size,
            }
            for value in self.values()
        ]
        return Table(columns, rows)

    def frame(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each value."""
        return self.table().frame()


@dataclass(frozen=True)
class State:
    """A state of a run.

    Attributes
    ----------
    run_id, node_id : int
        Whose state it is.
    number : int
        The number of the step that stored it, as in the run's log; 0 before the first one.
    generation : int
        The number of the commit of the store that stored it.
    committed_at : datetime
        When that was, by the node's clock.
    size : int
        Its bytes.
    run_config, node_config : dict
        The configuration of the run, and of the node.
    values : Values
        The values, by name.
    """

    run_id: int
    node_id: int
    number: int
    generation: int
    committed_at: datetime
    size: int
    run_config: dict[str, Any]
    node_config: dict[str, Any]
    values: Values = field(repr=False)
    _records: RecordDict = field(repr=False)

    @property
    def ledger(self) -> list[LedgerEntry]:
        """The ledger that fedstate's client state keeps, the oldest entry first; or empty.

        Raises
        ------
        StateDamagedError
            It cannot be read.
        """
        ledger = Ledger.read(self._records)
        return [] if ledger is None else ledger.parsed()

    @classmethod
    def read(cls, source: Source, kept: KeptState, value_id: int) -> Self:
        """Return a state that a store has.

        Raises
        ------
        StoreDamagedError, StateDamagedError
            It cannot be read.
        """
        run_id = kept.run_id
        where = f"The state of run {run_id}" if kept.current else f"State {run_id}@{kept.number}"
        with source.reading() as store:
            try:
                header, count, chunks = store.now.values.layout(value_id)
            except DamagedValueError as error:
                raise source.damaged(f"{_inside(where)} cannot be read: {error}") from error
            sizes = store.now.values.blob_sizes(value_id)
        addresses: list[list[bytes]] = [[] for _ in range(count)]
        for blob, address in chunks:
            addresses[blob].append(address)
        try:
            split = decode_context(StoredValue(header, [b""] * count))
            split.check()
        except Exception as error:
            # Whatever protobuf and flwr may raise: the bytes are those that were stored.
            raise StateDamagedError(f"{where} is no Context: {error!r}.") from error
        context = split.context
        blobs = iter(zip(addresses, sizes, strict=True))
        large = iter(split.arrays.is_large)
        book = _Book.of(context, where)
        chunks_of = _Chunks(source, where)
        values: dict[str, Value] = {}
        for name, record in context.state.items():
            arrays: dict[str, StoredArray] = {}
            if isinstance(record, ArrayRecord):
                for key, array in record.items():
                    found, size = next(blobs) if next(large) else ([], len(array.data))
                    arrays[key] = StoredArray(array, size, tuple(found))
            if not name.startswith(RESERVED_PREFIX):
                origin = Origin(where, chunks_of, book.digests.get(name), book.problem(name))
                values[name] = Value(name, record, arrays, book.stored.get(name), origin)
        for name in book.missing:
            problem = f"{where} names a value {name!r} that is not there."
            values[name] = Value(name, None, {}, None, Origin(where, chunks_of, None, problem))
        return cls(
            run_id=run_id,
            node_id=context.node_id,
            number=kept.number,
            generation=kept.generation,
            committed_at=datetime.fromtimestamp(kept.committed_at, UTC),
            size=len(header) + sum(sizes),
            run_config=dict(context.run_config),
            node_config=dict(context.node_config),
            values=Values(values, where),
            _records=context.state,
        )


@dataclass(frozen=True)
class _Chunks:
    """Reads the bytes of arrays by their addresses in the store."""

    source: Source
    where: str

    def __call__(self, name: str, array: StoredArray) -> bytes:
        """Return the bytes of an array of a value.

        Raises
        ------
        StoreDamagedError
            They are not what was stored; the value is named.
        InspectionError
            They are gone: the state was replaced since it was read.
        """
        pieces = []
        with self.source.reading() as store:
            for address in array.addresses:
                try:
                    piece = store.now.values.chunk(address)
                except DamagedValueError as error:
                    raise self.source.damaged(
                        f"value {name!r} of {_inside(self.where)} cannot be read: {error}"
                    ) from error
                if piece is None:
                    raise InspectionError(
                        f"{self.where} was replaced by a newer one since it was looked up; read "
                        "it again, or read in a block: `with fedstate.open_store(…) as store:`."
                    )
                pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(frozen=True)
class _Book:
    """What a state's own records say of its values: what stored them, and their digests."""

    stored: dict[str, Stored]
    digests: dict[str, str]
    missing: list[str]
    problems: dict[str, str]
    ledger_problem: str | None

    @classmethod
    def of(cls, context: Context, where: str) -> Self:
        """Return what a Context's records say; what cannot be read is a problem of a value."""
        records = context.state
        manifest = records.get(MANIFEST_RECORD, ConfigRecord())
        stored: dict[str, Stored] = {}
        problems: dict[str, str] = {}
        for name, line in manifest.items():
            try:
                stored[name] = Stored.from_json(name, line)
            except StateDamagedError as error:
                problems[name] = str(error)
        missing = [name for name in manifest if name not in records]
        try:
            ledger = Ledger.read(records)
        except StateError as error:
            return cls(stored, {}, missing, problems, str(error))
        if ledger is None and manifest:
            problem = f"{where} has values of fedstate's and no ledger: it is damaged."
            return cls(stored, {}, missing, problems, problem)
        return cls(stored, ledger.digests if ledger else {}, missing, problems, None)

    def problem(self, name: str) -> str | None:
        """Return why a value cannot be read, if that is known without reading it."""
        return self.problems.get(name) or self.ledger_problem


def _inside(where: str) -> str:
    """Return the subject of a sentence as it stands in the middle of one."""
    return where[0].lower() + where[1:]
