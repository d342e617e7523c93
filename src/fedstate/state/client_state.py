"""The state of a client as an author sees it: a dictionary of values, inside one step."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    ConfigRecordValues,
    Context,
    MetricRecord,
    RecordDict,
)

from fedstate.state.codecs.registry import codecs, guarded
from fedstate.state.content import RESERVED_PREFIX, Stored, read_manifest, write_manifest
from fedstate.state.digest import Record
from fedstate.state.errors import (
    StateError,
    StateFitError,
    StateNameError,
    StateTypeError,
    StateUsageError,
)
from fedstate.state.history import History
from fedstate.state.ledger import LedgerEntry


class ClientState(MutableMapping[str, Any]):
    """What a client remembers, by name; made by `open_state` or the mod `client_state`.

    Assigning stores a copy. What is read belongs to the state: a list, dictionary or array that
    is changed in place is stored as changed. Nothing is kept unless the step succeeds, and that
    holds for what is written to ``context.state`` directly, too. Flower records can be assigned
    and are then read as they are.

    Attributes
    ----------
    sequence : int
        How many commits this state has seen before this step.
    server_round : int | None
        The round of the message under way, if it names one.
    entry : LedgerEntry | None
        What the commit wrote into the ledger; None before it, and if there was nothing to
        commit.
    is_discarded : bool
        Whether the step was told to keep nothing.
    """

    def __init__(
        self,
        context: Context,
        manifest: Mapping[str, Stored],
        server_round: int | None,
        sequence: int,
        check: Callable[[str], None],
    ) -> None:
        self.sequence = sequence
        self.server_round = server_round
        self.entry: LedgerEntry | None = None
        self.is_discarded = False
        self._context = context
        self._check = check
        self._manifest = {name: manifest[name] for name in manifest if name in context.state}
        # The records that the manifest speaks of; another under that name is the app's own.
        self._typed: dict[str, Record] = {name: context.state[name] for name in self._manifest}
        self._read: dict[str, Any] = {}
        # Histories that were asked for, and have no entry: they are not stored.
        self._empty: dict[str, History] = {}
        self._is_open = True

    def __getitem__(self, name: str) -> Any:
        """Return the value stored under `name`.

        Raises
        ------
        StateNameError
            If there is none; it is a ``KeyError``, too.
        StateDamagedError, StateVersionError
            If it cannot be read.
        """
        if name in self._read and self._is_current(name):
            return self._read[name]
        records = self._records()
        if name not in self:
            known = ", ".join(self) or "nothing"
            raise StateNameError(f"The client state has no value {name!r}; it has {known}.")
        if not self._is_current(name):
            return records[name]
        self._check(name)
        value = _decode(records, name, self._manifest[name])
        if isinstance(value, History):
            value.current_round, value.name = self.server_round, name
        self._read[name] = value
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        """Store a copy of `value` under `name`.

        Raises
        ------
        StateTypeError
            If it cannot be stored, or the name is not a string or is one of fedstate's own.
        """
        records = self._records()
        check_name(name)
        if isinstance(value, ArrayRecord | MetricRecord | ConfigRecord):
            self._forget(name)
            _replace(records, name, value)
        else:
            self._store(name, value)
        self._read.pop(name, None)

    def __delitem__(self, name: str) -> None:
        """Remove the value stored under `name`."""
        records = self._records()
        if name not in self:
            raise StateNameError(f"The client state has no value {name!r} to delete.")
        del records[name]
        self._forget(name)

    def __contains__(self, name: object) -> bool:
        """Return whether a value is stored under `name`, without reading it."""
        return name in self._records() and not str(name).startswith(RESERVED_PREFIX)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all values."""
        return (name for name in self._records() if not name.startswith(RESERVED_PREFIX))

    def __len__(self) -> int:
        """Return how many values there are."""
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Return the names of all values."""
        status = "open" if self._is_open else "closed"
        return f"ClientState({', '.join(self) if self._is_open else ''}) # {status}"

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return the value stored under `name`, after storing `default` where there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def load(self, name: str, into: Any) -> None:
        """Put the value stored under `name` into a model, all of it or nothing.

        Parameters
        ----------
        name : str
            The value's name.
        into : keras.Model | Part | keras.Optimizer | torch.nn.Module | torch.optim.Optimizer | …
            What takes it: for weights a model, a part of one (see `weights_of`) or a module;
            for an optimizer's state the optimizer, or the compiled Keras model; for what a
            ``state_dict`` returned whatever has the method ``load_state_dict``.

        Raises
        ------
        StateNameError
            If there is no such value.
        StateFitError
            If it does not fit; it names the layer, the stored and the expected shape, and
            nothing in the model has changed.
        """
        if name in self._read or not self._is_current(name):
            value = self[name]  # as it is now, changes in place included
            if isinstance(value, ArrayRecord | MetricRecord | ConfigRecord):
                raise StateFitError(
                    f"State value {name!r} is a {type(value).__name__} of Flower's own, which "
                    "does not say what it holds; read it with state[...] instead."
                )
            with _naming(name):
                codec = codecs.for_value(value)
                codec.load(codec.encode(value), into)
            return
        self._check(name)
        with _naming(name):
            stored = self._manifest[name]
            encoded = stored.encoded(self._records(), name)
            codec, encoded = codecs.read(stored.tag, stored.version, encoded)
            codec.load(encoded, into)

    def history(self, name: str, limit: int | None = None) -> History:
        """Return the metric history stored under `name`, an empty one where there is none.

        An empty one is stored with its first entry, so asking for it changes nothing.

        Parameters
        ----------
        name : str
            The history's name.
        limit : int | None
            How many entries to keep from now on; None leaves that as it is.

        Raises
        ------
        StateTypeError
            If another value is stored under that name.
        """
        if name not in self:
            return self._empty_history(name, limit)
        history = self[name]
        if not isinstance(history, History):
            raise StateTypeError(
                f"State value {name!r} is a {type(history).__name__}, not a history; "
                "choose another name."
            )
        if limit is not None:
            history.limit = limit
        return history

    def _empty_history(self, name: str, limit: int | None) -> History:
        check_name(name)
        history = self._empty.setdefault(name, History(limit))
        if limit is not None:
            history.limit = limit
        history.current_round, history.name = self.server_round, name
        history.before_first = partial(self._keep, name, history)
        return history

    def _keep(self, name: str, history: History) -> None:
        """Store a history that is about to have its first entry."""
        if name in self:
            raise StateUsageError(
                f"Another value was stored as {name!r} after its history was asked for; ask for "
                "the history again, or choose another name."
            )
        self._store(name, history)
        self._read[name] = self._empty.pop(name)

    def report(self) -> ConfigRecord:
        """Return this step's ledger entry as a record, for a reply to carry to the server.

        Raises
        ------
        StateUsageError
            If there is none: the step has not ended, or has changed nothing.
        """
        if self.entry is None:
            raise StateUsageError(
                "There is no commit to report; the step commits at the end of open_state's "
                "`with` block, if it changed something (then `state.entry` is not None)."
            )
        # A ConfigRecord has no None: the round is left out where there is none.
        fields: dict[str, ConfigRecordValues] = {
            name: value for name, value in self.entry.to_dict().items() if value is not None
        }
        return ConfigRecord(fields)

    def discard(self) -> None:
        """Let the step keep nothing: its end puts everything back, as if it had raised."""
        self._records()
        self.is_discarded = True

    def write_back(self) -> Mapping[str, Stored]:
        """Store what was read and then changed in place; return the manifest, up to date."""
        for name, value in self._read.items():
            if self._is_current(name):
                self._store(name, value)
        for name in [name for name in self._manifest if not self._is_current(name)]:
            self._forget(name)
        write_manifest(self._records(), self._manifest)
        return self._manifest

    def close(self) -> None:
        """End the step: from now on the state can be neither read nor changed."""
        self._is_open = False
        self._read.clear()

    def _store(self, name: str, value: Any) -> None:
        with _naming(name):
            codec = codecs.for_value(value)
            encoded = codec.encode(value)
        records = self._records()
        old = records.get(name)
        if isinstance(old, ArrayRecord) and isinstance(encoded.record, ArrayRecord):
            # An array that did not change stays the same object, and need not be hashed again.
            for key, array in encoded.record.items():
                before = old.get(key)
                if before is not array and before == array:
                    encoded.record[key] = before
        _replace(records, name, encoded.record)
        version = encoded.version or codec.version
        self._manifest[name] = Stored(codec.tag, version, encoded.meta, encoded.fixed)
        self._typed[name] = encoded.record

    def _forget(self, name: str) -> None:
        self._manifest.pop(name, None)
        self._typed.pop(name, None)
        self._read.pop(name, None)

    def _is_current(self, name: str) -> bool:
        """Return whether the record under `name` is the one that the manifest speaks of."""
        return name in self._typed and self._records().get(name) is self._typed[name]

    def _records(self) -> RecordDict:
        if not self._is_open:
            raise StateUsageError(
                "The client state is used after its step has ended; read what you need, and "
                "change what you want, before the handler returns or the `with` block ends."
            )
        return self._context.state


def check_name(name: object) -> None:
    """Check the name of a value.

    Raises
    ------
    StateTypeError
        If it is not a string, or one of fedstate's own.
    """
    if not isinstance(name, str) or name.startswith(RESERVED_PREFIX):
        raise StateTypeError(
            f"A state value cannot have the name {name!r}; choose a string that does not "
            f"begin with {RESERVED_PREFIX!r}."
        )


def read_value(records: RecordDict, name: str) -> Any:
    """Return a value from a Context's state outside a step, unchecked against the ledger.

    Raises
    ------
    StateDamagedError, StateVersionError
        If it cannot be read.
    """
    stored = read_manifest(records).get(name)
    return records[name] if stored is None else _decode(records, name, stored)


def _decode(records: RecordDict, name: str, stored: Stored) -> Any:
    with _naming(name):
        encoded = stored.encoded(records, name)
        codec, encoded = codecs.read(stored.tag, stored.version, encoded)
        return guarded(codec, lambda: codec.decode(encoded))


def _replace(records: RecordDict, name: str, record: Record) -> None:
    if not isinstance(record, type(records.get(name, record))):
        del records[name]  # flwr warns of a record that is overwritten by one of another type
    records[name] = record


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Make the errors of codecs, which know no names, say which value they are about."""
    try:
        yield
    except StateError as error:
        sentence = str(error).rstrip(".")
        raise type(error)(f"State value {name!r}: {sentence}.") from error
