"""Reading a store that is somebody else's: of a SuperNode that runs or not, or in a backup.

Nothing is written, beside the store neither, and nobody waits: a SuperNode goes on as if nobody
had looked, but that content which is let go of meanwhile is removed only after the look.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedstate.store.backup_file import database_of
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import open_cipher
from fedstate.store.content import Content, ContentDirectory, reading
from fedstate.store.database import DATABASE, connect_unchanged, nothing_there, translated
from fedstate.store.errors import StoreForeignError
from fedstate.store.keeping_store import KeepingStore
from fedstate.store.readers import Snapshot
from fedstate.store.rows import CheckedRows
from fedstate.store.schema import MIGRATIONS, migrate, version
from fedstate.store.step_log import StepLog
from fedstate.store.values import ValueTable


@dataclass(frozen=True)
class About:
    """What a store says of itself: its name, the fingerprint of its node's key, its commits."""

    store_id: str
    node: str | None
    generation: int


class ReadOnlyStore(KeepingStore):
    """A store of which one state is read: what was committed when it was opened."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, content: Content, key: bytes | None
    ) -> None:
        # Not that of `StoreFile`, which locks the store and brings it to the newest schema.
        self.path = path
        self.directory = path.parent
        row = connection.execute("SELECT store_id, node, generation, wrapped_key FROM store")
        store_id, node, generation, wrapped = row.fetchone()
        self.about = About(store_id, node, generation)
        cipher = open_cipher(wrapped, key)
        rows = CheckedRows(connection, cipher)
        log = StepLog(connection, rows, cipher)
        values = ValueTable(connection, cipher, Chunks(connection, cipher, content))
        self._snapshot = Snapshot(connection, rows, values, log)

    @contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        yield self._snapshot

    @property
    def now(self) -> Snapshot:
        """What was committed when the store was opened."""
        return self._snapshot

    def log(self) -> StepLog:
        """Return the log of steps."""
        return self._snapshot.log

    def series_of(self, run_id: int) -> int:
        """Return the run series of a run; 0 if the store does not have the run."""
        row = self._snapshot.rows.one("run", str(run_id))
        return int(str(row["series_id"])) if row else 0

    def has_ended(self, run_id: int) -> bool:
        """Return whether a run has ended, as far as the node knows."""
        row = self._snapshot.rows.one("run", str(run_id))
        return row is None or row["finished_at"] is not None


@contextmanager
def read_only(place: Path, key: bytes | None = None) -> Iterator[ReadOnlyStore]:
    """Read the store in a state directory, or in a backup, in the block.

    Raises
    ------
    StoreError
        There is none.
    StoreForeignError
        A newer fedstate or another program wrote the database.
    StoreDamagedError
        It cannot be read.
    StoreKeyError
        The key is missing or wrong.
    """
    with tempfile.TemporaryDirectory(prefix="fedstate-") as aside:
        path = place / DATABASE
        content: Content = ContentDirectory(place)
        if place.is_file():
            path = Path(aside) / DATABASE
            content = database_of(place, path)
        elif not path.exists():
            raise nothing_there(place)
        with (
            reading(path.parent),
            translated(path, write=False),
            closing(connect_unchanged(path, Path(aside))) as connection,
            _of_newest_schema(connection, place, Path(aside)) as newest,
        ):
            yield ReadOnlyStore(newest, path, content, key)


@contextmanager
def _of_newest_schema(
    connection: sqlite3.Connection, place: Path, aside: Path
) -> Iterator[sqlite3.Connection]:
    """Read a database, or a copy of one of an earlier schema that is brought to the newest."""
    connection.execute("BEGIN")
    schema = version(connection)
    if schema == len(MIGRATIONS):
        yield connection
        return
    if schema == 0:
        raise nothing_there(place)
    if schema > len(MIGRATIONS):
        raise StoreForeignError(
            f"The node store in '{place}' has schema {schema}, and this command reads schemas up "
            f"to {len(MIGRATIONS)}. Use the fedstate that wrote it."
        )
    with closing(sqlite3.connect(aside / "newest.db", isolation_level=None)) as newest:
        connection.backup(newest)
        migrate(newest)
        yield newest
