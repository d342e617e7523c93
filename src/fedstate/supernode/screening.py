"""Which apps may run on a node: those of entities that it trusts, and those that it allows."""

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from fedstate.errors import SettingError
from fedstate.flower.runs import Fab, is_verified
from fedstate.logs import logger
from fedstate.supernode.allow import Entry, read_allowed
from fedstate.supernode.fab_names import AppName, UnreadableFabError, name_of

# By what a change of a file shows: a new file in its place, or another content.
_Version = tuple[int, int, int, int]


class Allowed:
    """A list of allowed apps in a file, which is read again when it has changed.

    While it cannot be read, nothing new is allowed; what was allowed before stays so.
    Safe to use from every thread.

    Parameters
    ----------
    file : Path
        The list.

    Raises
    ------
    SettingError
        It cannot be read, or has something that is not understood.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read: _Version | None = _version(file)
        self._entries: tuple[Entry, ...] = read_allowed(file)
        self._revision = 1
        self._problem = ""
        self._tell()

    def current(self) -> tuple[int, tuple[Entry, ...], bool]:
        """Return the list in force: its number, its entries, and whether it can be read now.

        The number is another one whenever a list that can be read has come in its place.
        """
        with self._lock:
            version = _version(self._file)
            if version != self._read:
                self._read = version
                self._read_again()
            return self._revision, self._entries, not self._problem

    def _read_again(self) -> None:
        try:
            entries = read_allowed(self._file)
        except SettingError as error:
            self._problem = str(error)
            logger.error("%s No new run is taken until it is right.", error)
            return
        self._problem = ""
        self._entries = entries
        self._revision += 1
        self._tell()

    def _tell(self) -> None:
        logger.info(
            "The list of allowed apps '%s' is in force, entries: %s.",
            self._file,
            len(self._entries),
        )
        for number, entry in enumerate(self._entries, 1):
            if entry.trusts_names:
                logger.warning(
                    "Entry %s of '%s' allows every app that calls itself '%s': add its hash, or "
                    "signed-by.",
                    number,
                    self._file,
                    entry.app,
                )


class Screening:
    """Says why a FAB must not run on a node.

    Parameters
    ----------
    trusted : mapping of str to str, optional
        Public keys, by ID, of the entities that the node trusts; None or empty for all.
    allowed : Allowed, optional
        The apps that the node runs; None for all.
    """

    def __init__(self, trusted: Mapping[str, str] | None, allowed: Allowed | None = None) -> None:
        self._trusted = trusted
        self._allowed = allowed

    @property
    def rules(self) -> int | None:
        """The number of the rules in force, another one when they have changed; None for none."""
        if self._allowed is not None:
            return self._allowed.current()[0]
        return 0 if self._trusted else None

    def __call__(self, fab: Fab) -> str | None:
        """Return why a FAB must not run on this node, or None if it may."""
        if self._trusted and not is_verified(fab, self._trusted):
            return "The FAB could not be verified."
        return None if self._allowed is None else self._not_allowed(fab, self._allowed)

    def _not_allowed(self, fab: Fab, allowed: Allowed) -> str | None:
        _, entries, readable = allowed.current()
        if not readable:
            return "This node takes no new run: its list of allowed apps cannot be read."
        fab_hash = hashlib.sha256(fab.content).hexdigest()
        name: AppName | None = None
        called = "an app without a name"
        try:
            name = name_of(fab.content)
            called = f"the app '{name.app}' {name.version}"
        except UnreadableFabError as error:
            called = f"an app without a name ({error})"
        if any(entry.fits(fab, fab_hash, name) for entry in entries):
            return None
        return f"This node does not allow {called} with the FAB hash {fab_hash}."


def _version(file: Path) -> _Version | None:
    try:
        found = os.stat(file)  # noqa: PTH116  as quick as it can be: it is asked for each step
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
