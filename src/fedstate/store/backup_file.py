"""What is in a backup: one line of JSON, padded to a fixed length, a database, and its content.

The content is one file of content, in which the chunks follow each other: the database in the
backup names it and no other. A backup of an older fedstate has none; all chunks are rows there.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fedstate.store.content import (
    PAGE_BYTES,
    Content,
    ContentInBackup,
    NoContent,
    first_page,
    name_of,
    number_of,
    whole_pages,
)
from fedstate.store.errors import StoreDamagedError, StoreError

_FORMAT, _WITHOUT_CONTENT = "fedstate node store backup 2", "fedstate node store backup 1"
HEADER_BYTES = 512
BLOCK_BYTES = 1024 * 1024


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
        The bytes of the database and its content.
    sha256 : str
        Their checksum.
    """

    store_id: str
    generation: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Parts:
    """Where in a backup what is: the bytes of the database, and the file of content behind it."""

    database_bytes: int
    file_id: int | None
    content_bytes: int

    def content(self, backup: Path) -> Content:
        """Return the content in a backup."""
        if self.file_id is None:
            return NoContent()
        base = HEADER_BYTES + self.database_bytes
        return ContentInBackup(backup, base, self.file_id, self.content_bytes)


def arrange(copy: sqlite3.Connection) -> tuple[list[tuple[int, int, int]], int | None, int]:
    """Have the database that goes into a backup name one file of content, without holes.

    Parameters
    ----------
    copy : sqlite3.Connection
        The database.

    Returns
    -------
    places : list of (int, int, int)
        File, start and length of each chunk in the store, in the order of the new file.
    file_id : int or None
        The new file; None if there is no content.
    size : int
        Its bytes.
    """
    tables = "SELECT 1 FROM sqlite_master WHERE name = 'chunk_place'"
    if copy.execute(tables).fetchone() is None:
        return [], None, 0
    found = copy.execute(
        "SELECT chunk_id, file_id, start, length FROM chunk_place ORDER BY file_id, start"
    ).fetchall()
    file_id, size = int.from_bytes(os.urandom(8)) >> 1, PAGE_BYTES
    copy.execute("BEGIN")
    copy.execute("DELETE FROM content_file")
    for chunk_id, _, _, length in found:
        copy.execute(
            "UPDATE chunk_place SET file_id = ?, start = ? WHERE chunk_id = ?",
            (file_id, size, chunk_id),
        )
        size += whole_pages(length)
    if found:
        copy.execute("INSERT INTO content_file VALUES (?, ?)", (file_id, size))
    copy.execute("COMMIT")
    if not found:
        return [], None, 0
    return [(file, start, length) for _, file, start, length in found], file_id, size


def write(
    out: BinaryIO,
    about: tuple[str, int],
    database: Path,
    content: tuple[int | None, int, Iterator[bytes]],
) -> tuple[Backup, Parts]:
    """Write a backup.

    Parameters
    ----------
    out : file
        The empty file.
    about : (str, int)
        The store and its last commit.
    database : Path
        The database.
    content : (int or None, int, iterator of bytes)
        The number and the size of the file of content, and its chunks.
    """
    file_id, content_bytes, chunks = content
    digest = hashlib.sha256()

    def add(data: bytes) -> None:
        out.write(data)
        digest.update(data)

    out.write(b" " * HEADER_BYTES)
    with database.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            add(block)
    parts = Parts(out.tell() - HEADER_BYTES, file_id, content_bytes)
    if file_id is not None:
        add(first_page(file_id))
    for chunk in chunks:
        add(chunk)
        add(bytes(whole_pages(len(chunk)) - len(chunk)))
    size = parts.database_bytes + content_bytes
    backup = Backup(*about, size, digest.hexdigest())
    header = {
        "format": _FORMAT,
        **vars(backup),
        "database": parts.database_bytes,
        "content": "" if file_id is None else name_of(file_id),
    }
    out.seek(0)
    out.write(json.dumps(header).ljust(HEADER_BYTES - 1).encode() + b"\n")
    return backup, parts


def read_backup(source: Path) -> Backup:
    """Read and check a backup file.

    Raises
    ------
    StoreDamagedError
        It is not a backup, or not what was written.
    StoreError
        It cannot be read.
    """
    return read_parts(source)[0]


def read_parts(source: Path) -> tuple[Backup, Parts]:
    """Read and check a backup file; return also where in it what is.

    Raises
    ------
    StoreDamagedError
        It is not a backup, or not what was written.
    StoreError
        It cannot be read.
    """
    try:
        with source.open("rb") as file:
            header = json.loads(file.read(HEADER_BYTES))
        kind = header.pop("format", None)
        if kind not in (_FORMAT, _WITHOUT_CONTENT):
            raise ValueError("another format")
        database, content = header.pop("database", header["size"]), header.pop("content", "")
        backup = Backup(**header)
        parts = Parts(int(database), number_of(content), backup.size - int(database))
        intact = _checksum(source) == backup.sha256
        if intact and not _fits(source, parts):
            raise ValueError("the header is of another file")
    except OSError as error:
        raise StoreError(f"The backup '{source}' cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StoreDamagedError(
            f"The file '{source}' is not a backup of a node store. "
            "Give a file that 'fedstate state backup' wrote."
        ) from error
    if not intact:
        raise StoreDamagedError(
            f"The backup '{source}' does not have its checksum, it was damaged after it was "
            "written. Use another backup."
        )
    return backup, parts


def database_of(source: Path, target: Path) -> Content:
    """Write the database that is in a backup to a file; return its content, which stays there.

    Raises
    ------
    StoreDamagedError
        The backup is damaged.
    """
    _, parts = read_parts(source)
    with target.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        copy_part(source, HEADER_BYTES, parts.database_bytes, out.write)
    return parts.content(source)


def copy_part(
    source: Path, start: int, size: int, write_block: Callable[[bytes], object]
) -> None:
    """Hand a part of a file on, block by block."""
    with source.open("rb") as content:
        content.seek(start)
        while size and (block := content.read(min(size, BLOCK_BYTES))):
            write_block(block)
            size -= len(block)


def _fits(source: Path, parts: Parts) -> bool:
    """Whether the content begins where the header says."""
    if parts.file_id is None:
        return parts.content_bytes == 0
    found: list[bytes] = []
    copy_part(source, HEADER_BYTES + parts.database_bytes, PAGE_BYTES, found.append)
    return b"".join(found) == first_page(parts.file_id)


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    copy_part(path, HEADER_BYTES, path.stat().st_size, digest.update)
    return digest.hexdigest()
