"""Backups: one file with a checksum, taken while the SuperNode runs, restored anywhere.

It holds what was committed when the backup began; an encrypted store's backup is encrypted with
its key. `backup_file` says how it is laid out.
"""

import errno
import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from fedstate.failpoints import reach
from fedstate.files import make_directory
from fedstate.store.backup_file import (
    BLOCK_BYTES,
    HEADER_BYTES,
    Backup,
    Parts,
    arrange,
    copy_part,
    read_backup,
    read_parts,
    write,
)
from fedstate.store.content import (
    DIRECTORY,
    Content,
    ContentDirectory,
    name_of,
    reading,
)
from fedstate.store.database import (
    DATABASE,
    RESTORING,
    RESTORING_CONTENT,
    connect,
    connect_unchanged,
    damaged,
    no_store,
    remove_leftovers,
    sync_directory,
    translated,
)
from fedstate.store.errors import (
    DamagedValueError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from fedstate.store.guard import MARK, Guard, mark_problem, read_mark
from fedstate.store.room import NO_ROOM
from fedstate.store.schema import version


def back_up(
    directory: Path,
    target: Path,
    verify: Callable[[sqlite3.Connection, Content], Iterable[str]] = lambda *_: (),
) -> Backup:
    """Write the store in `directory` to the file `target`; a SuperNode may be running.

    Parameters
    ----------
    directory : Path
        The state directory.
    target : Path
        The file, which must not exist.
    verify : callable
        Returns what is wrong with the copy of the database and its content.

    Raises
    ------
    StoreError
        There is no store, the target exists, or it cannot be written.
    StoreDamagedError
        The database or its content cannot be read, or it is not the one that the directory has
        seen last.
    """
    source = directory / DATABASE
    if not source.exists():
        raise no_store(directory)
    if target.exists():
        raise _is_there(target)
    # Before the database, which goes on while it is read.
    mark = read_mark(directory)
    copy = target.with_name(target.name + ".database")
    partial = target.with_name(target.name + ".partial")
    try:
        # Before SQLite opens it, which would make it readable for others and cannot say why it
        # is not able to.
        copy.touch()
        copy.chmod(0o600)
        with (
            reading(directory),
            translated(source),
            closing(_reader(source, target.parent)) as reader,
            closing(sqlite3.connect(copy, isolation_level=None)) as writer,
        ):
            reader.backup(writer)
            # One file, without a log beside it.
            writer.execute("PRAGMA journal_mode = DELETE")
            version(writer)
            about = writer.execute("SELECT store_id, generation FROM store").fetchone()
            # A copy that was made by hand may lack the last commits: nobody goes back to it.
            if problem := mark_problem(mark, *about):
                raise damaged(directory, problem)
            places, file_id, size = arrange(writer)
            chunks = (ContentDirectory(directory).read(*place) for place in places)
            with partial.open("xb") as out:
                os.fchmod(out.fileno(), 0o600)
                backup, parts = write(out, about, copy, (file_id, size, chunks))
                out.flush()
                os.fsync(out.fileno())
            if problem := next(iter(verify(writer, parts.content(partial))), None):
                raise damaged(directory, problem)
        partial.replace(target)
        sync_directory(target.parent)
    except DamagedValueError as error:
        raise damaged(directory, str(error)) from error
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
            shutil.copyfileobj(content, out, BLOCK_BYTES)
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
    backup, parts = read_parts(source)
    if (directory / DATABASE).exists() and not replace:
        raise StoreError(
            f"There is a node store in '{directory}'. Give --replace to move it aside, or "
            "another directory."
        )
    made = not directory.exists()
    incoming, content = directory / RESTORING, directory / RESTORING_CONTENT
    try:
        make_directory(directory, 0o700)
        with _held(directory) as guard:
            remove_leftovers(directory)
            _extract(source, parts, incoming, content)
            reach("restore-copied")
            # From here on a restore that is killed is done again: without a database there is
            # no store, whatever the mark says.
            with _aside(directory):
                reach("restore-moved")
                guard.advance(backup.store_id, backup.generation)
                reach("restore-marked")
                if content.exists():
                    content.replace(directory / DIRECTORY)
                    sync_directory(directory)
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
        shutil.rmtree(content, ignore_errors=True)
        if made and not (directory / DATABASE).exists():
            shutil.rmtree(directory, ignore_errors=True)
    return backup


def _extract(source: Path, parts: Parts, target: Path, content: Path) -> None:
    with target.open("wb") as out:
        os.fchmod(out.fileno(), 0o600)
        copy_part(source, HEADER_BYTES, parts.database_bytes, out.write)
        out.flush()
        os.fsync(out.fileno())
    if parts.file_id is None:
        return
    content.mkdir(mode=0o700)
    with (content / name_of(parts.file_id)).open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        copy_part(source, HEADER_BYTES + parts.database_bytes, parts.content_bytes, out.write)
        out.flush()
        os.fsync(out.fileno())
    sync_directory(content)


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
    # The database first: what is left by a kill in between is no store.
    names = (DATABASE, DATABASE + "-wal", DATABASE + "-shm", DIRECTORY)
    present = [name for name in names if (directory / name).exists()]
    aside = _place_aside(directory, present)
    moved: list[str] = []
    try:
        for name in present:
            (directory / name).replace(aside / name)
            moved.append(name)
        yield
    except OSError:
        # The content of the backup may be in place already.
        if DIRECTORY in moved or DIRECTORY not in present:
            shutil.rmtree(directory / DIRECTORY, ignore_errors=True)
        for name in moved:
            (aside / name).replace(directory / name)
        raise


def _place_aside(directory: Path, present: list[str]) -> Path:
    """Return a new directory for what is moved, or the one to which the rest of it has gone."""
    if present == [DIRECTORY]:
        # A restore that was killed between the two.
        for before in sorted(directory.glob("replaced-*"), reverse=True):
            if (before / DATABASE).exists() and not (before / DIRECTORY).exists():
                return before
    stem = aside = directory / time.strftime("replaced-%Y%m%d-%H%M%S", time.gmtime())
    for number in itertools.count(2):
        if not aside.exists():
            break
        aside = stem.with_name(f"{stem.name}-{number}")
    if present:
        aside.mkdir(mode=0o700)
    return aside
