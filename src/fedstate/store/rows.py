"""Rows with a checksum over their columns: refused when it does not fit."""

import sqlite3

from fedstate.store.cipher import Cipher
from fedstate.store.errors import DamagedValueError
from fedstate.store.values import checksum

# The first column is the primary key.
COLUMNS = {
    "store": ("only", "store_id", "node", "generation", "wrapped_key"),
    "fab": ("fab_hash", "value_id"),
    "run": ("run_id", "series_id", "fab_hash", "value_id", "finished_at"),
    "unknown_run": ("run_id", "since"),
    "context": ("series_id", "run_id", "generation", "committed_at", "value_id"),
    "kept_state": (
        "generation",
        "run_id",
        "number",
        "group_id",
        "digest",
        "size",
        "committed_at",
        "value_id",
    ),
    "step": (
        "message_id",
        "sequence",
        "run_id",
        "status",
        "message_value",
        "reply_value",
    ),
    "step_chain": (
        "run_id",
        "chain_id",
        "complete",
        "length",
        "pruned",
        "anchor",
        "head",
        "written_at",
    ),
    "node_clock": ("only", "seconds", "boot", "boot_seconds"),
    "retained": ("run_id", "since", "mark"),
}

Column = str | int | float | bytes | None
Row = dict[str, Column]


class CheckedRows:
    """The rows of the tables in `COLUMNS`; the caller opens and commits the transactions."""

    def __init__(self, connection: sqlite3.Connection, cipher: Cipher) -> None:
        self._db = connection
        self._cipher = cipher

    def put(self, table: str, row: Row) -> None:
        """Insert a row, or replace the one with the same primary key."""
        columns = COLUMNS[table]
        values = [row[column] for column in columns]
        updates = ", ".join(f"{column} = excluded.{column}" for column in (*columns, "seal"))
        marks = ", ".join("?" * (len(columns) + 1))
        self._db.execute(
            f"INSERT INTO {table} ({', '.join(columns)}, seal) VALUES ({marks}) "  # noqa: S608
            f"ON CONFLICT ({columns[0]}) DO UPDATE SET {updates}",
            (*values, checksum(self._cipher, table, *values)),
        )

    def change(self, table: str, row: Row, **changes: Column) -> Row:
        """Change some columns of a row that is there; return the row with its changes.

        What has an index and stays is not written: that would cost a page for each index.
        """
        row = row | changes
        columns = COLUMNS[table]
        sets = ", ".join(f"{column} = ?" for column in (*changes, "seal"))
        values = [row[column] for column in columns]
        self._db.execute(
            f"UPDATE {table} SET {sets} WHERE {columns[0]} = ?",  # noqa: S608
            (*changes.values(), checksum(self._cipher, table, *values), values[0]),
        )
        return row

    def find(self, table: str, order: str = "1", **equals: Column) -> list[Row]:
        """Return the rows whose columns have the given values, each checked.

        Raises
        ------
        DamagedValueError
            A row does not have its checksum.
        """
        columns = COLUMNS[table]
        where = " AND ".join(f"{column} IS ?" for column in equals) or "1"
        found = self._db.execute(
            f"SELECT {', '.join(columns)}, seal FROM {table} "  # noqa: S608
            f"WHERE {where} ORDER BY {order}",
            tuple(equals.values()),
        ).fetchall()
        for *values, stored in found:
            if stored != checksum(self._cipher, table, *values):
                raise DamagedValueError(
                    f"the row '{values[0]}' of table '{table}' does not have its checksum"
                )
        return [dict(zip(columns, values, strict=False)) for values in found]

    def one(self, table: str, key: Column) -> Row | None:
        """Return the row with the primary key `key`, checked, or None."""
        rows = self.find(table, "1", **{COLUMNS[table][0]: key})
        return rows[0] if rows else None

    def delete(self, table: str, key: Column) -> None:
        """Delete the row with the primary key `key`."""
        self._db.execute(f"DELETE FROM {table} WHERE {COLUMNS[table][0]} = ?", (key,))  # noqa: S608
