"""The node's log: one row for each attempt at a step that has ended, chained run by run.

What is in a row, and how rows hold together, is in `fedstate.witness`. A row is never changed;
its signature is added when it has been made. Rows go with the state of their run, or when the log
is bounded; what is kept for good of each run is one row of ``step_chain``: how many rows there
were, and the digests of the newest and of the last one that went. So a run that comes back goes
on with the chain that it had.
"""

import hashlib
import heapq
import itertools
import sqlite3
import struct
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from fedstate.store.cipher import Cipher
from fedstate.store.errors import DamagedValueError
from fedstate.store.rows import CheckedRows, Row
from fedstate.witness.receipts import Receipt
from fedstate.witness.record import (
    REASON_CHARACTERS,
    StepRecord,
    genesis,
    record_digest,
)

# The chain of all rows, whatever their run.
_WHOLE = ""
_SEAL_BYTES = _MESSAGE_BYTES = 16


@dataclass(frozen=True)
class Attempt:
    """What a SuperNode knows of an attempt at a step, beside what the store knows.

    Attributes
    ----------
    node_id, group_id, action
        As in `StepRecord`.
    handed_out : bytes
        The digest of the state that the ClientApp was given; empty if it was given none.
    app_seconds : float
        How long the ClientApp took.
    output_at : float, optional
        When its output arrived, on the clock of `time.monotonic`.
    """

    node_id: int = 0
    group_id: str = ""
    action: str = ""
    handed_out: bytes = b""
    app_seconds: float = 0.0
    output_at: float | None = None


@dataclass(frozen=True)
class Ended:
    """What a row says beside the `Attempt`, for `StepLog.append`; as in `StepRecord`."""

    run_id: str
    series_id: str
    message_id: str
    outcome: str
    generation: int
    reason: str = ""
    stored: bytes = b""
    state_bytes: int = 0
    new_bytes: int = 0
    source_run: int = 0
    source_number: int = 0


@dataclass(frozen=True)
class Chain:
    """What a store knows of the log of one run.

    Attributes
    ----------
    run_id : int
        The run.
    complete : bool
        Whether the log has begun with the run: not for one that an earlier release began.
    length : int
        How many rows there have been.
    pruned : int
        How many of them are not kept any longer.
    anchor, head : bytes
        The digests of the last one that is not kept and of the newest; empty if there is none.
    """

    run_id: int
    complete: bool
    length: int
    pruned: int
    anchor: bytes
    head: bytes


class StepLog:
    """The log in one database; the caller opens and commits the transactions.

    Parameters
    ----------
    connection, rows, cipher
        The database.
    store_id : str
        The name of the store.
    opening : bytes
        A random name for the time in which it is open.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        rows: CheckedRows,
        cipher: Cipher,
        store_id: str = "",
        opening: bytes = b"",
    ) -> None:
        self._db = connection
        self._rows = rows
        self._cipher = cipher
        self._store_id = store_id
        self._opening = opening

    def begin(self, run_id: str, *, complete: bool = True) -> Row:
        """Return the chain of a run, begun if there is none."""
        if (chain := self._rows.one("step_chain", run_id)) is not None:
            return chain
        last = self._db.execute("SELECT coalesce(max(chain_id), 0) FROM step_chain").fetchone()
        row: Row = {"run_id": run_id, "chain_id": last[0] + 1, "complete": int(complete)}
        row |= {"length": 0, "pruned": 0, "anchor": b"", "head": b"", "written_at": time.time()}
        self._rows.put("step_chain", row)
        return row

    def append(self, ended: Ended, attempt: Attempt, keep: int | None = None) -> bytes:
        """Write the row of an attempt; return it.

        Parameters
        ----------
        ended : Ended
            How it ended.
        attempt : Attempt
            What else is known of it.
        keep : int, optional
            How many rows of a run are kept; None for all.
        """
        whole = self.begin(_WHOLE)
        # A run that has a chain got it when it began, unless an earlier release began it.
        chain = self.begin(ended.run_id, complete=self._rows.one("run", ended.run_id) is None)
        run_id, now = int(ended.run_id), time.time()
        sequence, number = _int(whole["length"]) + 1, _int(chain["length"]) + 1
        started = attempt.output_at
        record = StepRecord(
            sequence=sequence,
            run_sequence=number,
            run_id=run_id,
            series_id=int(ended.series_id),
            node_id=attempt.node_id,
            store_id=self._store_id,
            group_id=attempt.group_id,
            action=attempt.action,
            message_id=ended.message_id,
            handed_out=attempt.handed_out,
            stored=ended.stored or attempt.handed_out or self._last_stored(chain),
            state_bytes=ended.state_bytes,
            new_bytes=ended.new_bytes,
            app_seconds=attempt.app_seconds,
            commit_seconds=0.0 if started is None else time.monotonic() - started,
            time=now,
            outcome=ended.outcome,
            reason=_sendable(ended.reason),
            previous=_bytes(chain["head"]) or genesis(self._store_id, run_id),
            previous_of_store=_bytes(whole["head"]),
            generation=ended.generation,
            opening=self._opening,
            source_run=ended.source_run,
            source_number=ended.source_number,
        ).encode()
        place = (sequence, _int(chain["chain_id"]), number)
        self.store_row(*place, _short(ended.message_id), record, None)
        newest: Row = {"head": record_digest(record), "written_at": now}
        self._rows.change("step_chain", whole, length=sequence, **newest)
        chain = self._rows.change("step_chain", chain, length=number, **newest)
        if keep is not None and number - _int(chain["pruned"]) > keep:
            self._prune(chain, number - keep)
        return record

    def newest_stored(self, run_id: int) -> StepRecord | None:
        """Return what the newest row of a run says that has stored a state, or None."""
        found = self._read(
            "chain_id = (SELECT chain_id FROM step_chain WHERE run_id = ?) "
            "ORDER BY run_sequence DESC",
            str(run_id),
        )
        with closing(found):
            return next((each.record for each in found if each.record.stores), None)

    def newest_of(self, run_id: int) -> Receipt | None:
        """Return the newest row of a run, or None."""
        return self._one(
            "chain_id = (SELECT chain_id FROM step_chain WHERE run_id = ?)", str(run_id)
        )

    def store_row(
        self,
        sequence: int,
        chain_id: int,
        number: int,
        message: bytes,
        record: bytes,
        signature: bytes | None,
    ) -> None:
        """Insert one row as it is; `append` and a copy of the log do."""
        self._db.execute(
            "INSERT INTO step_log "
            "(sequence, chain_id, run_sequence, message, record, signature, seal) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(sequence, chain_id, number, message, self._cipher.encrypt(record), signature),
                self._seal(sequence, chain_id, number, message, record),
            ),
        )

    def stored_rows(self) -> Iterator[tuple[int, int, int, bytes, bytes, bytes | None]]:
        """Yield all rows as `store_row` takes them; they are checked by who opens the store."""
        found = self._db.execute(
            "SELECT sequence, chain_id, run_sequence, message, record, signature FROM step_log"
        )
        for sequence, chain_id, number, message, stored, signature in found:
            yield sequence, chain_id, number, message, self._cipher.decrypt(stored), signature

    def _last_stored(self, chain: Row) -> bytes:
        row = self._one("chain_id = ? AND run_sequence = ?", chain["chain_id"], chain["length"])
        return row.record.stored if row else b""

    def _prune(self, chain: Row, up_to: int) -> None:
        last = self._one("chain_id = ? AND run_sequence = ?", chain["chain_id"], up_to)
        self._db.execute(
            "DELETE FROM step_log WHERE chain_id = ? AND run_sequence <= ?",
            (chain["chain_id"], up_to),
        )
        anchor = last.digest if last else b""
        self._rows.change("step_chain", chain, pruned=up_to, anchor=anchor)

    def sign(self, message_id: str, signature: bytes) -> None:
        """Add its signature to the newest row of a message, which may have gone."""
        self._db.execute(
            "UPDATE step_log SET signature = ? WHERE sequence = "
            "(SELECT max(sequence) FROM step_log WHERE message = ?)",
            (signature, _short(message_id)),
        )

    def note_signature(self, sequence: int, signature: bytes) -> None:
        """Add its signature to a row, which may have gone."""
        self._db.execute(
            "UPDATE step_log SET signature = ? WHERE sequence = ?", (signature, sequence)
        )

    def unsigned(self, limit: int) -> list[Receipt]:
        """Return the first rows that have no signature."""
        return list(self._read("signature IS NULL ORDER BY sequence LIMIT ?", limit))

    def of_message(self, message_id: str) -> Receipt | None:
        """Return the newest row of a message, signed or not, or None."""
        receipt = self._one("message = ?", _short(message_id))
        return receipt if receipt and receipt.record.message_id == message_id else None

    def chains(self) -> list[Chain]:
        """Return the chains of all runs, in the order in which they began."""
        rows = self._rows.find("step_chain", "chain_id")
        return [_chain(row) for row in rows if row["run_id"] != _WHOLE]

    def chain(self, run_id: int) -> Chain | None:
        """Return the chain of a run, or None."""
        row = self._rows.one("step_chain", str(run_id))
        return _chain(row) if row else None

    def after(self, sequence: int, run_ids: Iterable[int], limit: int) -> list[Receipt]:
        """Return the rows that follow one in the store; without runs, those of all runs."""
        named = dict.fromkeys(str(run_id) for run_id in run_ids)
        chains = [self._rows.one("step_chain", run_id) for run_id in named]
        where, page = "sequence > ?", "ORDER BY sequence LIMIT ?"
        if not chains:
            return list(self._read(f"{where} {page}", sequence, limit))
        # Chain by chain: rows of several would have to be sorted, all of them for each page.
        pages = [
            self._read(f"chain_id = ? AND {where} {page}", chain["chain_id"], sequence, limit)
            for chain in chains
            if chain is not None
        ]
        rows = heapq.merge(*pages, key=lambda receipt: receipt.record.sequence)
        found = list(itertools.islice(rows, limit))
        for each in pages:
            each.close()
        return found

    def free(self, run_id: str) -> None:
        """Remove the rows of a run; its chain says how many there were."""
        chain = self._rows.one("step_chain", run_id)
        if chain is None:
            return
        self._db.execute("DELETE FROM step_log WHERE chain_id = ?", (chain["chain_id"],))
        self._rows.change("step_chain", chain, pruned=chain["length"], anchor=chain["head"])

    def strays(self) -> dict[str, int]:
        """Return runs of which there are rows and nothing else, with how many there have been.

        The node has refused their messages, or has freed them.
        """
        rows = self._db.execute(
            "SELECT run_id, length FROM step_chain WHERE run_id != ? AND length > pruned "
            "AND run_id NOT IN (SELECT run_id FROM run)",
            (_WHOLE,),
        )
        return dict(rows)

    def of_run(self, run_id: int) -> Iterator[Receipt]:
        """Yield the rows of a run in their order."""
        yield from self._read(
            "chain_id = (SELECT chain_id FROM step_chain WHERE run_id = ?) ORDER BY run_sequence",
            str(run_id),
        )

    def last(self) -> Receipt | None:
        """Return the newest row of the store, or None."""
        return self._one("1")

    def newest(self) -> tuple[int, bytes]:
        """Return number and digest of the newest row of the store, which may have gone."""
        row = self._rows.one("step_chain", _WHOLE)
        return (_int(row["length"]), _bytes(row["head"])) if row else (0, b"")

    def _one(self, where: str, *values: object) -> Receipt | None:
        # To its end: an open query keeps its snapshot.
        found = list(self._read(f"{where} ORDER BY sequence DESC LIMIT 1", *values))
        return found[0] if found else None

    def _read(self, where: str, *values: object) -> Generator[Receipt, None, None]:
        found = self._db.execute(
            "SELECT sequence, chain_id, run_sequence, message, record, seal, signature "  # noqa: S608
            f"FROM step_log WHERE {where}",
            values,
        )
        with closing(found):
            for sequence, chain_id, number, message, stored, seal, signature in found:
                try:
                    record = self._cipher.decrypt(stored)
                except ValueError:
                    record = b""
                if seal != self._seal(sequence, chain_id, number, message, record):
                    raise DamagedValueError(
                        f"the row '{sequence}' of table 'step_log' does not have its checksum"
                    )
                yield Receipt(record, signature or b"")

    def _seal(
        self, sequence: int, chain_id: int, number: int, message: bytes, record: bytes
    ) -> bytes:
        head = struct.pack("<QQQ", sequence, chain_id, number)
        return self._cipher.digest(b"step_log" + head + message + record)[:_SEAL_BYTES]


def _sendable(reason: str) -> str:
    # Names of files may hold what UTF-8 has no bytes for.
    return reason[:REASON_CHARACTERS].encode(errors="replace").decode()


def _short(message_id: str) -> bytes:
    return hashlib.sha256(message_id.encode()).digest()[:_MESSAGE_BYTES]


def _chain(row: Row) -> Chain:
    return Chain(
        run_id=int(str(row["run_id"])),
        complete=bool(row["complete"]),
        length=_int(row["length"]),
        pruned=_int(row["pruned"]),
        anchor=_bytes(row["anchor"]),
        head=_bytes(row["head"]),
    )


def _int(column: object) -> int:
    if not isinstance(column, int):
        raise TypeError(f"A number was expected in the node store, not {column!r}.")
    return column


def _bytes(column: object) -> bytes:
    if not isinstance(column, bytes):
        raise TypeError(f"Bytes were expected in the node store, not {column!r}.")
    return column
