"""Backups: one file with a checksum, taken while the SuperNode runs, restored anywhere.

The file is one line of JSON, padded to a fixed length, and the bytes of a database. It holds
what was committed when the backup began; an encrypted store's backup is encrypted with its key.
"""

import errno
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fedstate.failpoints import reach
from fedstate.store.database import (
    DATABASE,
    RESTORING,
    connect,
    connect_unchanged,
    damaged,
    no_store,
    sync_directory,
    translated,
)
from fedstate.store.errors import StoreDamagedError, StoreError, StoreFullError
from fedstate.store.guard import MARK, Guard
from fedstate.store.room import NO_ROOM
from fedstate.store.schema import version

_FORMAT = "fedstate node store backup 1"
_HEADER_BYTES = 512
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Backup:
    """What a backup file holds.

    Attributes
    ----------
    store_id : str
        The name of the store that it was taken from.
    generation : int
        The number of the last state commit in it.
    size : int
        The bytes of the database.
    sha256 : str
        Its checksum.
    """

    store_id: str
    generation: int
    size: int
    sha256: str


def back_up(
    directory: Path,
    target: Path,
    verify: Callable[[sqlite3.Connection], Iterable[str]] = lambda _: (),
) -> Backup:
    """Write the store in `directory` to the file `target`; a SuperNode may be running.

    Parameters
    ----------
    directory : Path
        The state directory.
    target : Path
        The file, which must not exist.
    verify : callable
        Returns what is wrong with the copy of the database.

    Raises
    ------
    StoreError
        There is no store, the target exists, or it cannot be written.
    StoreDamagedError
        The database cannot be read.
    """
    source = directory / DATABASE
    if not source.exists():
        raise no_store(directory)
    if target.exists():
        raise _is_there(target)
    copy = target.with_name(target.name + ".database")
    partial = target.with_name(target.name + ".partial")
    try:
        # Before SQLite opens it, which would make it readable for others and cannot say why it
        # is not able to.
        copy.touch()
        copy.chmod(0o600)
        with (
            translated(source),
            closing(_reader(source, target.parent)) as reader,
            closing(sqlite3.connect(copy)) as writer,
        ):
            reader.backup(writer)
            # One file, without a log beside it.
            writer.execute("PRAGMA journal_mode = DELETE")
            version(writer)
            store_id, generation = writer.execute(
                "SELECT store_id, generation FROM store"
            ).fetchone()
            if problem := next(iter(verify(writer)), None):
                raise damaged(directory, problem)
        backup = Backup(store_id, generation, copy.stat().st_size, _checksum(copy, 0))
        _write(partial, backup, copy)
        partial.replace(target)
        sync_directory(target.parent)
    except (OSError, StoreFullError) as error:
        # The store itself is only read.
        reason = "No space left on device" if isinstance(error, StoreError) else error.strerror
        raise _not_written(target, reason) from error
    finally:
        copy.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    return backup


def _reader(source: Path, aside: Path) -> sqlite3.Connection:
    """Open a store that goes on meanwhile, or that nobody can write to."""
    if os.statvfs(source).f_flag & os.ST_RDONLY:
        return connect_unchanged(source, aside)
    return connect(source, write=False)


def _write(partial: Path, backup: Backup, database: Path) -> None:
    header = json.dumps({"format": _FORMAT, **vars(backup)}).ljust(_HEADER_BYTES - 1)
    with partial.open("xb") as out, database.open("rb") as content:
        os.fchmod(out.fileno(), 0o600)
        out.write(header.encode() + b"\n")
        shutil.copyfileobj(content, out, _BLOCK_BYTES)
        out.flush()
        os.fsync(out.fileno())


def read_backup(source: Path) -> Backup:
    """Read and check a backup file.

    Raises
    ------
    StoreDamagedError
        It is not a backup, or not what was written.
    StoreError
        It cannot be read.
    """
    try:
        with source.open("rb") as file:
            header = json.loads(file.read(_HEADER_BYTES))
        if header.pop("format", None) != _FORMAT:
            raise ValueError("another format")
        backup = Backup(**header)
        intact = _checksum(source, _HEADER_BYTES) == backup.sha256
    except OSError as error:
        raise StoreError(f"The backup '{source}' cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreDamagedError(
            f"The file '{source}' is not a backup of a node store. "
            "Give a file that 'fedstate state backup' wrote."
        ) from error
    if not intact:
        raise StoreDamagedError(
            f"The backup '{source}' does not have its checksum, it was damaged after it was "
            "written. Use another backup."
        )
    return backup


def copy_backup(source: Path, target: Path) -> Backup:
    """Write the backup in the file `source` to the file `target` as well, and check it there.

    Raises
    ------
    StoreDamagedError
        What was written is not an intact backup.
    StoreError
        The target exists, or it cannot be written.
    """
    if target.exists():
        raise _is_there(target)
    partial = target.with_name(target.name + ".partial")
    try:
        with source.open("rb") as content, partial.open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            shutil.copyfileobj(content, out, _BLOCK_BYTES)
            out.flush()
            os.fsync(out.fileno())
        backup = read_backup(partial)
        partial.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        raise _not_written(target, error.strerror) from error
    finally:
        partial.unlink(missing_ok=True)
    return backup


def _is_there(target: Path) -> StoreError:
    return StoreError(f"The backup '{target}' exists already. Give the name of a new file.")


def _not_written(target: Path, reason: str | None) -> StoreError:
    if not target.parent.is_dir():
        what = f"Make the directory '{target.parent}', or give a file in another one."
    elif reason == os.strerror(errno.ENOSPC):
        what = "Give a file in a directory with enough free space."
    else:
        what = "Give a file in a directory that you may write to."
    return StoreError(f"The backup '{target}' cannot be written ({reason}). {what}")


def database_of(source: Path, target: Path) -> Backup:
    """Write the database that is in the backup `source` to the file `target`.

    Raises
    ------
    StoreDamagedError
        The backup is damaged.
    """
    backup = read_backup(source)
    with source.open("rb") as content, target.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        content.seek(_HEADER_BYTES)
        shutil.copyfileobj(content, out, _BLOCK_BYTES)
    return backup


def restore(source: Path, directory: Path, *, replace: bool = False) -> Backup:
    """Put the store in the file `source` into `directory`; no SuperNode may be running.

    Parameters
    ----------
    source : Path
        A backup file.
    directory : Path
        The state directory; made if it is missing.
    replace : bool
        Whether a store that is there is moved aside, into ``replaced-TIME`` beside the new one.

    Raises
    ------
    StoreInUseError
        A SuperNode uses the directory.
    StoreDamagedError
        The backup is damaged; nothing was changed.
    StoreError
        There is a store and `replace` is not set, or the disk failed.
    """
    backup = read_backup(source)
    if (directory / DATABASE).exists() and not replace:
        raise StoreError(
            f"There is a node store in '{directory}'. Give --replace to move it aside, or "
            "another directory."
        )
    made = not directory.exists()
    incoming = directory / RESTORING
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _held(directory) as guard:
            _extract(source, incoming)
            reach("restore-copied")
            # From here on a restore that is killed is done again: without a database there is
            # no store, whatever the mark says.
            with _aside(directory):
                reach("restore-moved")
                guard.advance(backup.store_id, backup.generation)
                reach("restore-marked")
                incoming.replace(directory / DATABASE)
            sync_directory(directory)
    except OSError as error:
        what = "Free space" if error.errno in NO_ROOM else "Make it one that you may write to,"
        raise StoreError(
            f"The store could not be restored to '{directory}' ({error.strerror}), and nothing "
            f"was changed. {what} or give another directory, then restore again."
        ) from error
    finally:
        with suppress(OSError):
            incoming.unlink(missing_ok=True)
        if made and not (directory / DATABASE).exists():
            shutil.rmtree(directory, ignore_errors=True)
    return backup


def _extract(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("wb") as out:
        os.fchmod(out.fileno(), 0o600)
        content.seek(_HEADER_BYTES)
        shutil.copyfileobj(content, out, _BLOCK_BYTES)
        out.flush()
        os.fsync(out.fileno())


@contextmanager
def _held(directory: Path) -> Iterator[Guard]:
    """Hold a directory in the block, also one whose mark cannot be read."""
    mark = directory / MARK
    there = mark.exists()
    try:
        guard = Guard(directory)
    except StoreDamagedError:
        mark.write_bytes(b"")
        guard = Guard(directory)
    try:
        yield guard
    finally:
        # A mark that says nothing is not left where there was none.
        if not there and guard.store_id is None:
            mark.unlink(missing_ok=True)
        guard.close()


@contextmanager
def _aside(directory: Path) -> Iterator[None]:
    """Move what there is of a store out of the way, and back if the block fails."""
    names = (DATABASE, DATABASE + "-wal", DATABASE + "-shm")
    present = [name for name in names if (directory / name).exists()]
    stem = aside = directory / time.strftime("replaced-%Y%m%d-%H%M%S", time.gmtime())
    for number in itertools.count(2):
        if not aside.exists():
            break
        aside = stem.with_name(f"{stem.name}-{number}")
    if present:
        aside.mkdir(mode=0o700)
    moved: list[str] = []
    try:
        for name in present:
            (directory / name).replace(aside / name)
            moved.append(name)
        yield
    except OSError:
        for name in moved:
            (aside / name).replace(directory / name)
        raise


def _checksum(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
