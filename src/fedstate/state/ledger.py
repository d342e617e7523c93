"""The ledger: one entry per commit, written by the commit itself and kept inside the state.

It is a ConfigRecord of the Context beside the values that it accounts for, so it goes wherever
Flower takes the Context: a stock SuperNode, ours, the Simulation Engine. Entries are JSON lines
in a list, because appending to a list costs the same however long it is.
"""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Self

from flwr.app import ConfigRecord, Message, RecordDict

from fedstate.state.errors import StateDamagedError, StateVersionError

LEDGER_RECORD = "fedstate.ledger"
_SCHEMA = 1


@dataclass(frozen=True)
class LedgerEntry:
    """One commit.

    Attributes
    ----------
    sequence : int
        1 for the first commit of this state, then one more for each.
    run_id, node_id : int
        Whose step it was.
    action : str
        The type of the message that the step answered: ``train``, ``evaluate``, ``query``, or
        with a name, as in ``train.personalise``.
    round : int | None
        The server's round, if the message names one.
    message_id : str
        The message that the step answered.
    parent : str
        The digest of the state that the step loaded; empty where there was none.
    digest : str
        The digest of the state that the step saved.
    """

    sequence: int
    run_id: int
    node_id: int
    action: str
    round: int | None
    message_id: str
    parent: str
    digest: str

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the entry that a line of the ledger holds.

        Raises
        ------
        StateDamagedError
            If the line is not such an entry.
        """
        try:
            fields = json.loads(line)
            entry = cls(**fields | {key: int(fields[key]) for key in _IDENTITIES})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _damaged(line, repr(error)) from None
        for field, kind in _TYPES.items():
            value = getattr(entry, field)
            if type(value) is not kind and not (field == "round" and value is None):
                raise _damaged(line, f"{field} is {value!r}")
        return entry

    def to_dict(self) -> dict[str, int | str | None]:
        """Return the entry as plain values.

        Run and node are text, as in `fedstate verify`'s report: they have 64 bits, and many a
        reader of JSON keeps 53.
        """
        return asdict(self) | {key: str(getattr(self, key)) for key in _IDENTITIES}

    def to_json(self) -> str:
        """Return the entry as a line of the ledger."""
        return json.dumps(self.to_dict())


_IDENTITIES = ("run_id", "node_id")
_TYPES: dict[str, type] = {
    **dict.fromkeys(("sequence", "run_id", "node_id", "round"), int),
    **dict.fromkeys(("action", "message_id", "parent", "digest"), str),
}


def _damaged(line: str, reason: str) -> StateDamagedError:
    return StateDamagedError(
        f"The ledger has an entry that cannot be read ({reason}): {line[:200]!r}."
    )


@dataclass
class Ledger:
    """The ledger of one state.

    Attributes
    ----------
    series_id : int
        The run series of the Context that it was written in.
    replaced_runs : list[int]
        Earlier runs of the series whose state this one replaced when it started fresh.
    digests : dict[str, str]
        The digest of every record at the last commit, which tells *what* is damaged when the
        state's digest tells *that* something is.
    lines : list[str]
        The entries, oldest first, as JSON.
    """

    series_id: int
    replaced_runs: list[int]
    digests: dict[str, str]
    lines: list[str]

    @classmethod
    def read(cls, records: RecordDict) -> Self | None:
        """Return the ledger in `records`, or None where there is none.

        Raises
        ------
        StateDamagedError
            If there is one that cannot be read.
        StateVersionError
            If a newer fedstate wrote it.
        """
        if LEDGER_RECORD not in records:
            return None
        record = records[LEDGER_RECORD]
        schema = record.get("schema")
        if isinstance(schema, int) and schema > _SCHEMA:
            raise StateVersionError(
                f"The state's ledger has schema {schema}, and this fedstate reads up to "
                f"{_SCHEMA}; use the fedstate that wrote it, or a newer one."
            )
        series_id, replaced = record.get("series_id"), record.get("replaced_runs")
        digests, lines = _json_object(record.get("digests")), record.get("entries")
        if (
            schema != _SCHEMA
            or not isinstance(record, ConfigRecord)
            or not isinstance(series_id, int)
            or not _is_list_of(replaced, int)
            or digests is None
            or not _is_list_of(lines, str)
            or not lines
        ):
            raise StateDamagedError(
                f"The state's ledger (record {LEDGER_RECORD!r}) cannot be read; it holds "
                f"{sorted(record)}."
            )
        return cls(series_id, list(replaced), digests, list(lines))  # type: ignore[arg-type]

    def write(self, records: RecordDict) -> None:
        """Put the ledger into `records`."""
        records[LEDGER_RECORD] = ConfigRecord(
            {
                "schema": _SCHEMA,
                "series_id": self.series_id,
                "replaced_runs": self.replaced_runs,
                "digests": json.dumps(self.digests, sort_keys=True),
                "entries": self.lines,
            }
        )

    @property
    def last(self) -> LedgerEntry:
        """The newest entry."""
        return LedgerEntry.from_json(self.lines[-1])

    def parsed(self) -> list[LedgerEntry]:
        """Return all entries, oldest first, each checked by itself alone."""
        return [LedgerEntry.from_json(line) for line in self.lines]

    def entries(self) -> list[LedgerEntry]:
        """Return all entries, oldest first, after checking that they follow on one another.

        Raises
        ------
        StateDamagedError
            If an entry is missing or does not continue the one before it.
        """
        entries = self.parsed()
        for before, entry in pairwise(entries):
            if entry.sequence != before.sequence + 1 or entry.parent != before.digest:
                raise StateDamagedError(
                    f"The ledger's entry {entry.sequence} (parent {entry.parent[:12]}…) does "
                    f"not continue entry {before.sequence} (digest {before.digest[:12]}…)."
                )
        return entries


def read_ledger(records: RecordDict) -> list[LedgerEntry]:
    """Return the ledger of a state, oldest entry first; empty where there is none.

    Parameters
    ----------
    records : RecordDict
        A Context's ``state``.

    Raises
    ------
    StateDamagedError
        If it cannot be read, or an entry does not continue the one before it.
    StateVersionError
        If a newer fedstate wrote it.
    """
    ledger = Ledger.read(records)
    return [] if ledger is None else ledger.entries()


def server_round(message: Message) -> int | None:
    """Return the round that a message belongs to, or None if it names none.

    Flower's older strategies put it into ``group_id``, those of the Message API leave that
    empty and put ``server-round`` into a ConfigRecord of the content.
    """
    if message.metadata.group_id.isdecimal():
        return int(message.metadata.group_id)
    if message.has_content():
        for record in message.content.config_records.values():
            found = record.get("server-round")
            if type(found) is int:
                return found
    return None


def _is_list_of(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)


def _json_object(text: object) -> dict[str, str] | None:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    is_valid = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return value if is_valid else None
