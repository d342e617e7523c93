"""The integrity check: SQLite's own, every row's and every value's checksum."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedstate.store.backup_file import database_of
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import Cipher, open_cipher
from fedstate.store.content import Content, ContentDirectory, name_of, reading
from fedstate.store.database import (
    DATABASE,
    connect_unchanged,
    damaged,
    no_store,
    nothing_there,
    translated,
)
from fedstate.store.errors import DamagedValueError
from fedstate.store.guard import mark_problem, read_mark
from fedstate.store.log_check import log_findings
from fedstate.store.rows import COLUMNS, CheckedRows
from fedstate.store.schema import MIGRATIONS, migrate, version
from fedstate.store.step_log import StepLog
from fedstate.store.values import ValueTable


def findings(connection: sqlite3.Connection, cipher: Cipher, content: Content) -> Iterator[str]:
    """Yield what is wrong with a node store, one sentence fragment for each finding.

    Parameters
    ----------
    connection : sqlite3.Connection
        An open node store of the current schema.
    cipher : Cipher
        The store's cipher.
    content : Content
        Its large content.
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
    chunks = Chunks(connection, cipher, content)
    yield from ValueTable(connection, cipher, chunks).findings()


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
        The bytes of the database and its content.
    strays : list of str
        What is beside the files of content and belongs to no commit: what a program that was
        killed has left goes with the next start, what is being written now will belong to one,
        and other files stay.
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
    strays: list[str]
    problems: list[str]


def check(place: Path, key: bytes | None = None) -> Report:
    """Say of a store what a SuperNode would say that opens it; a SuperNode may be using it.

    Nothing is changed, and every problem is named and not the first alone.

    Parameters
    ----------
    place : Path
        The state directory, or a backup.
    key : bytes, optional
        The encryption key.

    Raises
    ------
    StoreError
        There is no store, or it is so damaged that it cannot be opened.
    StoreForeignError
        A newer fedstate or another program wrote the database.
    StoreKeyError
        The key is missing or wrong.
    """
    with tempfile.TemporaryDirectory(prefix="fedstate-") as aside:
        # Before the database, which goes on while it is read.
        path, mark, content = _find(place, Path(aside))
        with (
            reading(path.parent),
            translated(path, write=False),
            closing(_open(path, Path(aside), mark)) as connection,
        ):
            return _report(connection, path, mark, content, key)


Mark = tuple[str | None, int]


def _find(place: Path, aside: Path) -> tuple[Path, Mark | None, Content]:
    """Return the database in a place, what its directory has seen last, and the content."""
    if place.is_file():
        path = aside / "backup" / DATABASE
        path.parent.mkdir()
        return path, None, database_of(place, path)
    path, mark = place / DATABASE, read_mark(place)
    if not path.exists():
        if mark[0] is not None:
            raise damaged(place, f"the file '{DATABASE}' is missing")
        raise nothing_there(place)
    return path, mark, ContentDirectory(place)


def _open(path: Path, aside: Path, mark: Mark | None) -> sqlite3.Connection:
    """Open a database as the SuperNode would find it: of the newest schema."""
    connection = connect_unchanged(path, aside)
    try:
        connection.execute("BEGIN")
        found = version(connection)
        if found == 0:
            if mark and mark[0] is not None:
                raise damaged(path.parent, f"the file '{DATABASE}' is empty")
            raise no_store(path.parent)
        if found == len(MIGRATIONS):
            return connection
        newest = sqlite3.connect(aside / "newest.db", isolation_level=None)
        try:
            connection.backup(newest)
            migrate(newest)
        except BaseException:
            newest.close()
            raise
    except BaseException:
        connection.close()
        raise
    connection.close()
    return newest


def _report(
    connection: sqlite3.Connection,
    path: Path,
    mark: Mark | None,
    content: Content,
    key: bytes | None,
) -> Report:
    row = connection.execute("SELECT store_id, node, generation, wrapped_key FROM store")
    store_id, node, generation, wrapped = row.fetchone()
    problems = list(findings(connection, open_cipher(wrapped, key), content))
    if mark is not None and (problem := mark_problem(mark, store_id, generation)):
        problems.append(problem)
    (content_bytes,) = connection.execute(
        "SELECT coalesce(sum(length), 0) FROM chunk_place"
    ).fetchone()
    unknown = connection.execute("SELECT run_id FROM unknown_run ORDER BY since").fetchall()
    runs, contexts, chunks, steps = (
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        for table in ("run", "context", "chunk", "step_log")
    )
    return Report(
        *(version(connection), node, generation, runs, contexts, chunks, steps),
        [row[0] for row in unknown],
        path.stat().st_size + content_bytes,
        _strays(connection, content),
        problems,
    )


def _strays(connection: sqlite3.Connection, content: Content) -> list[str]:
    if not isinstance(content, ContentDirectory):
        return []
    named = {file_id for (file_id,) in connection.execute("SELECT file_id FROM content_file")}
    unnamed = content.files().keys() - named
    return sorted([*map(name_of, unnamed), *content.others()])
