"""The layout of a new SuperLink's database: for objects of megabytes.

An object of a large model takes 5 MB, which is 1200 of SQLite's default pages, each of which is
found, checksummed and copied on its own. In pages of 16 KiB storing and reading such objects
takes half of the processor time. Larger ones save little more, and every heartbeat of a node,
which changes a few bytes, writes whole pages.
"""

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path

from fedstate.flower.superlink_app import IN_MEMORY_DATABASE

_LAYOUT = ("page_size = 16384", "journal_mode = WAL")


def lay_out(database: str) -> None:
    """Create the database of a new SuperLink, if it is a file; an existing one stays as it is.

    Parameters
    ----------
    database : str
        The value of ``--database``.
    """
    path = Path(database)
    if database == IN_MEMORY_DATABASE or path.exists():
        return
    # What cannot be created is a URL, or an error that flwr reports when it opens the database.
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        for setting in _LAYOUT:
            connection.execute(f"PRAGMA {setting}")
