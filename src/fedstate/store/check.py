"""The integrity check: SQLite's own, every row's and every value's checksum."""

import sqlite3
from collections.abc import Iterator

from fedstate.store.cipher import Cipher
from fedstate.store.rows import COLUMNS, SealedRows
from fedstate.store.values import DamagedValueError, ValueTable


def findings(connection: sqlite3.Connection, cipher: Cipher) -> Iterator[str]:
    """Yield what is wrong with a node store, one sentence fragment for each finding.

    Parameters
    ----------
    connection : sqlite3.Connection
        An open node store of the current schema.
    cipher : Cipher
        The store's cipher.
    """
    structure = [row[0] for row in connection.execute("PRAGMA quick_check(20)")]
    if structure != ["ok"]:
        yield from structure
        # Reading on through a broken tree would only name the same break again.
        return
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        yield f"a row of table '{table}' refers to something that is missing"
    rows = SealedRows(connection, cipher)
    for table in COLUMNS:
        try:
            rows.find(table)
        except DamagedValueError as error:
            yield str(error)
    values = ValueTable(connection, cipher)
    for (value_id,) in connection.execute("SELECT value_id FROM value").fetchall():
        try:
            values.check(value_id)
        except DamagedValueError as error:
            yield str(error)
