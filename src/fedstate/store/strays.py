"""What is in the files of content of a store and is named by no row of its database."""

import sqlite3

from fedstate.logs import logger
from fedstate.store.content import PAGE_BYTES, ContentDirectory, name_of, whole_pages
from fedstate.store.content_writer import Gone


def strays(connection: sqlite3.Connection, content: ContentDirectory) -> list[Gone]:
    """Return what a program that was killed has left behind, for its removal.

    A transaction that never came to its commit leaves a file, and a removal that was cut off a
    file or parts of one. The caller has the store for itself, and has checked it: a file that is
    missing would mean that the database is not the one that belongs to the files.

    Parameters
    ----------
    connection : sqlite3.Connection
        The database.
    content : ContentDirectory
        The files.
    """
    found: list[Gone] = []
    files = content.files()
    named = {file_id for (file_id,) in connection.execute("SELECT file_id FROM content_file")}
    for file_id in sorted(files.keys() - named):
        logger.info(
            "The file '%s' of the node store belongs to no commit, a program that was killed has "
            "left it; it is removed.",
            content.path / name_of(file_id),
        )
        found.append(Gone(file_id))
    for name in content.others():
        logger.warning(
            "'%s' is none of the node store's files; it is left as it is.", content.path / name
        )
    for file_id in sorted(named):
        found += _unused(connection, file_id, files[file_id].st_blocks * 512)
    return found


def _unused(connection: sqlite3.Connection, file_id: int, allocated: int) -> list[Gone]:
    """Return the parts of a file that no chunk has, if they take room."""
    places = connection.execute(
        "SELECT start, length FROM chunk_place WHERE file_id = ? ORDER BY start", (file_id,)
    ).fetchall()
    used = PAGE_BYTES + sum(whole_pages(length) for _, length in places)
    if allocated <= used:
        return []
    (size,) = connection.execute(
        "SELECT size FROM content_file WHERE file_id = ?", (file_id,)
    ).fetchone()
    gaps: list[Gone] = []
    end = PAGE_BYTES
    for start, length in [*places, (size, 0)]:
        if start > end:
            gaps.append(Gone(file_id, end, start - end))
        end = start + whole_pages(length)
    return gaps
