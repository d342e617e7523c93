"""The schema of the node store, as ordered migrations.

Each migration commits together with the row that records it, so that a database is always at
exactly one version. A migration that was released is never edited; the next one changes it.

Every row that is not content-addressed carries a checksum over its columns, in the column
``seal``: SQLite itself does not notice a flipped bit in a value.
"""

import sqlite3
from dataclasses import dataclass

from fedstate.failpoints import reach
from fedstate.store.errors import StoreForeignError

# "fdst": tells this database from any other SQLite file.
APPLICATION_ID = 0x66647374


@dataclass(frozen=True)
class Migration:
    """One step of the schema, applied in one transaction."""

    name: str
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        "values, runs and contexts",
        (
            """CREATE TABLE store (
                only INTEGER PRIMARY KEY CHECK (only = 1),
                store_id TEXT NOT NULL,
                node TEXT,
                generation INTEGER NOT NULL,
                wrapped_key BLOB,
                seal BLOB NOT NULL)""",
            """CREATE TABLE value (
                value_id INTEGER PRIMARY KEY AUTOINCREMENT,
                header BLOB NOT NULL,
                parts INTEGER NOT NULL,
                size INTEGER NOT NULL,
                released INTEGER NOT NULL DEFAULT 0,
                seal BLOB NOT NULL)""",
            "CREATE INDEX value_released ON value (value_id) WHERE released",
            """CREATE TABLE chunk (
                chunk_id INTEGER PRIMARY KEY,
                digest BLOB NOT NULL UNIQUE,
                data BLOB NOT NULL)""",
            """CREATE TABLE value_chunk (
                value_id INTEGER NOT NULL REFERENCES value ON DELETE CASCADE,
                position INTEGER NOT NULL,
                part INTEGER NOT NULL,
                chunk_id INTEGER NOT NULL REFERENCES chunk,
                PRIMARY KEY (value_id, position)) WITHOUT ROWID""",
            "CREATE INDEX value_chunk_by_chunk ON value_chunk (chunk_id)",
            """CREATE TABLE fab (
                fab_hash TEXT PRIMARY KEY,
                value_id INTEGER NOT NULL REFERENCES value,
                seal BLOB NOT NULL)""",
            """CREATE TABLE run (
                run_id TEXT PRIMARY KEY,
                series_id TEXT NOT NULL,
                fab_hash TEXT NOT NULL REFERENCES fab,
                value_id INTEGER NOT NULL REFERENCES value,
                finished_at REAL,
                seal BLOB NOT NULL)""",
            "CREATE INDEX run_by_series ON run (series_id)",
            """CREATE TABLE context (
                series_id TEXT PRIMARY KEY,
                run_id TEXT NOT NULL,
                generation INTEGER NOT NULL,
                committed_at REAL NOT NULL,
                value_id INTEGER NOT NULL REFERENCES value,
                seal BLOB NOT NULL)""",
        ),
    ),
    Migration(
        "steps: messages under way and committed replies",
        (
            """CREATE TABLE step (
                message_id TEXT PRIMARY KEY,
                sequence INTEGER NOT NULL UNIQUE,
                run_id TEXT NOT NULL REFERENCES run,
                status TEXT NOT NULL CHECK (status IN ('received', 'committed', 'answered')),
                message_value INTEGER REFERENCES value,
                reply_value INTEGER REFERENCES value,
                seal BLOB NOT NULL)""",
            "CREATE INDEX step_by_run ON step (run_id, status)",
        ),
    ),
    Migration(
        "runs that the SuperLink does not know",
        (
            """CREATE TABLE unknown_run (
                run_id TEXT PRIMARY KEY REFERENCES run ON DELETE CASCADE,
                since REAL NOT NULL,
                seal BLOB NOT NULL)""",
        ),
    ),
    Migration(
        "the log of steps",
        (
            # One for each run, and one for all of them: its run_id is empty.
            """CREATE TABLE step_chain (
                run_id TEXT PRIMARY KEY,
                chain_id INTEGER NOT NULL UNIQUE,
                complete INTEGER NOT NULL,
                length INTEGER NOT NULL,
                pruned INTEGER NOT NULL,
                anchor BLOB NOT NULL,
                head BLOB NOT NULL,
                written_at REAL NOT NULL,
                seal BLOB NOT NULL)""",
            """CREATE TABLE step_log (
                sequence INTEGER PRIMARY KEY,
                chain_id INTEGER NOT NULL REFERENCES step_chain (chain_id),
                run_sequence INTEGER NOT NULL,
                message BLOB NOT NULL,
                record BLOB NOT NULL,
                signature BLOB,
                seal BLOB NOT NULL)""",
            "CREATE UNIQUE INDEX step_log_by_run ON step_log (chain_id, run_sequence)",
            "CREATE INDEX step_log_by_message ON step_log (message)",
            # With the sequence beside it: pages of a run's rows are found without sorting.
            "CREATE INDEX step_log_by_chain ON step_log (chain_id)",
        ),
    ),
    Migration(
        "former states of runs",
        (
            # One commit stores one state: its number is the key.
            """CREATE TABLE kept_state (
                generation INTEGER PRIMARY KEY,
                run_id TEXT NOT NULL REFERENCES run,
                number INTEGER NOT NULL,
                group_id TEXT NOT NULL,
                digest BLOB NOT NULL,
                size INTEGER NOT NULL,
                committed_at REAL NOT NULL,
                value_id INTEGER NOT NULL REFERENCES value,
                seal BLOB NOT NULL)""",
            "CREATE INDEX kept_state_by_run ON kept_state (run_id, generation)",
            # Whenever a value goes, SQLite looks for rows that refer to it.
            "CREATE INDEX kept_state_by_value ON kept_state (value_id)",
        ),
    ),
    Migration(
        "how long runs that have ended are retained",
        (
            # The time that the node has counted, and where its machine's clock was then.
            """CREATE TABLE node_clock (
                only INTEGER PRIMARY KEY CHECK (only = 1),
                seconds REAL NOT NULL,
                boot TEXT NOT NULL,
                boot_seconds REAL NOT NULL,
                seal BLOB NOT NULL)""",
            # The mark changes when a run has ended again, or its log has grown.
            """CREATE TABLE retained (
                run_id TEXT PRIMARY KEY,
                since REAL NOT NULL,
                mark REAL NOT NULL,
                seal BLOB NOT NULL)""",
        ),
    ),
    Migration(
        "large content in files",
        (
            # Without a seal: a number that was altered names a file that is not there, and a
            # place a chunk that does not have its digest.
            """CREATE TABLE content_file (
                file_id INTEGER PRIMARY KEY,
                size INTEGER NOT NULL)""",
            # Of chunks whose `data` is empty. The row of a file is written when it is whole.
            """CREATE TABLE chunk_place (
                chunk_id INTEGER PRIMARY KEY REFERENCES chunk ON DELETE CASCADE,
                file_id INTEGER NOT NULL REFERENCES content_file DEFERRABLE INITIALLY DEFERRED,
                start INTEGER NOT NULL,
                length INTEGER NOT NULL)""",
            "CREATE INDEX chunk_place_by_file ON chunk_place (file_id)",
        ),
    ),
    Migration(
        "former states as differences",
        (
            # Of chunks whose `data` is empty: what turns another chunk into one.
            """CREATE TABLE delta (
                chunk_id INTEGER PRIMARY KEY REFERENCES chunk,
                base_id INTEGER NOT NULL REFERENCES chunk,
                size INTEGER NOT NULL,
                stored INTEGER NOT NULL,
                reach INTEGER NOT NULL,
                seal BLOB NOT NULL)""",
            "CREATE INDEX delta_by_base ON delta (base_id)",
            """CREATE TABLE delta_piece (
                piece_id INTEGER PRIMARY KEY,
                chunk_id INTEGER NOT NULL REFERENCES delta,
                data BLOB NOT NULL)""",
            "CREATE INDEX delta_piece_by_chunk ON delta_piece (chunk_id)",
            # What nobody has looked at as yet, and from which place on.
            """CREATE TABLE superseded (
                value_id INTEGER PRIMARY KEY REFERENCES value ON DELETE CASCADE,
                by_value INTEGER NOT NULL REFERENCES value ON DELETE CASCADE,
                position INTEGER NOT NULL)""",
            "CREATE INDEX superseded_by_value ON superseded (by_value)",
            """INSERT INTO superseded SELECT value_id, by_value, 0 FROM (
                SELECT value_id, lead(value_id) OVER (PARTITION BY run_id ORDER BY generation)
                    AS by_value FROM kept_state)
                WHERE by_value IS NOT NULL GROUP BY value_id""",
        ),
    ),
)


def version(connection: sqlite3.Connection) -> int:
    """Return the number of migrations that the database has had; 0 for an empty one.

    Raises
    ------
    StoreForeignError
        The file is another program's database.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    if empty:
        return 0
    if application != APPLICATION_ID:
        raise StoreForeignError(
            "The file 'node.db' is a database of another program, not a node store. "
            "Give --state a directory of its own."
        )
    row = connection.execute("SELECT max(version) FROM migration").fetchone()
    return int(row[0] or 0)


def migrate(
    connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS
) -> None:
    """Bring the database to the newest schema, one committed migration after the other.

    Raises
    ------
    StoreForeignError
        A newer fedstate wrote the database, or another program did.
    """
    current = version(connection)
    if current > len(migrations):
        raise StoreForeignError(
            f"The node store has schema {current}, and this fedstate knows schemas up to "
            f"{len(migrations)}. Start the newer fedstate that wrote it, or restore a backup."
        )
    for number in range(current + 1, len(migrations) + 1):
        migration = migrations[number - 1]
        connection.execute("BEGIN IMMEDIATE")
        try:
            if number == 1:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(
                    "CREATE TABLE migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL)"
                )
            for statement in migration.statements:
                connection.execute(statement)
            reach("migration")
            connection.execute("INSERT INTO migration VALUES (?, ?)", (number, migration.name))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
