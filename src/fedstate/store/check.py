"""The integrity check: SQLite's own, every row's and every value's checksum."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedstate.store.cipher import Cipher, open_cipher
from fedstate.store.database import DATABASE, connect, translated
from fedstate.store.errors import StoreError
from fedstate.store.guard import read_mark
from fedstate.store.log_check import log_findings
from fedstate.store.rows import COLUMNS, CheckedRows
from fedstate.store.schema import MIGRATIONS, version
from fedstate.store.step_log import StepLog
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
    rows = CheckedRows(connection, cipher)
    for table in COLUMNS:
        try:
            rows.find(table)
        except DamagedValueError as error:
            yield str(error)
    (store_id,) = connection.execute("SELECT store_id FROM store").fetchone()
    try:
        yield from log_findings(StepLog(connection, rows, cipher), store_id)
    except DamagedValueError as error:
        yield str(error)
    yield from ValueTable(connection, cipher).findings()


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes
    ----------
    schema : int
        The version of the schema.
    node : str or None
        The fingerprint of the node's key.
    generation : int
        The number of state commits.
    runs, contexts, chunks, logged_steps : int
        How many there are.
    unknown_runs : list of str
        The runs that the SuperLink does not know, whose state is kept until it is freed by name.
    size : int
        The bytes of the database.
    problems : list of str
        What is wrong; empty for an intact store.
    """

    schema: int
    node: str | None
    generation: int
    runs: int
    contexts: int
    chunks: int
    logged_steps: int
    unknown_runs: list[str]
    size: int
    problems: list[str]


def check(directory: Path, key: bytes | None = None) -> Report:
    """Check the store in a state directory; a SuperNode may be using it.

    Raises
    ------
    StoreError
        There is no store, or it is so damaged that it cannot be opened.
    StoreKeyError
        The key is missing or wrong.
    """
    path = directory / DATABASE
    if not path.exists():
        raise StoreError(
            f"There is no node store in '{directory}'. Give the directory that "
            "'fedstate supernode --state' uses."
        )
    # Before the database, which goes on while it is read.
    marked = read_mark(directory)
    with translated(path), closing(connect(path, write=False)) as connection:
        connection.execute("BEGIN")
        schema = version(connection)
        if schema != len(MIGRATIONS):
            raise StoreError(
                f"The node store in '{directory}' has schema {schema}, and this command checks "
                f"schema {len(MIGRATIONS)}. Start the SuperNode once, or use its fedstate."
            )
        store = connection.execute("SELECT node, generation, wrapped_key FROM store").fetchone()
        problems = list(findings(connection, open_cipher(store[2], key)))
        if store[1] < marked:
            problems.append(f"the store is an older copy: commit {store[1]} of {marked}")
        unknown = connection.execute("SELECT run_id FROM unknown_run ORDER BY since").fetchall()
        runs, contexts, chunks, steps = (
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("run", "context", "chunk", "step_log")
        )
    size = path.stat().st_size
    unknown_runs = [row[0] for row in unknown]
    return Report(
        *(schema, store[0], store[1], runs, contexts, chunks, steps),
        unknown_runs,
        size,
        problems,
    )
