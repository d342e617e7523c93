"""Backups of a node's store on a schedule, written and checked beside its steps.

They are the SuperNode's own work and not a program's beside it: where the node runs its backups
are made, with its key, and its log and its health say when one failed.
"""

import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import SettingError
from fedstate.files import make_directory
from fedstate.logs import logger
from fedstate.store.backup import back_up
from fedstate.store.backup_file import read_backup
from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore

_NAME = re.compile(r"(?P<store>[0-9a-f]{8})-(?P<number>\d{6,})-(?P<generation>\d+)\.backup")
# After a failure it is not waited for as long as after a success.
_RETRY_SECONDS = 600.0
_END_SECONDS = 2.0


@dataclass(frozen=True)
class Schedule:
    """When a node's store is backed up, where to, and how many backups are kept.

    Attributes
    ----------
    directory : Path
        Where the backups are; several nodes may share it.
    seconds : float
        The time between two backups.
    keep : int
        How many are kept; 1 or more.
    """

    directory: Path
    seconds: float
    keep: int

    def check(self) -> None:
        """Make the directory, and make sure that backups can be written there.

        Raises
        ------
        SettingError
            They cannot: it is better said at the start than after hours.
        """
        try:
            make_directory(self.directory, 0o700)
            os.scandir(self.directory).close()
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except OSError as error:
            raise SettingError(
                f"--backup names '{self.directory}', in which backups cannot be written "
                f"({error.strerror}): give a directory of this user's own."
            ) from None


class Backups:
    """The backups of one store, on a thread of its own.

    Their names count up: an older one is told from a newer one though the clock was changed. An
    old backup is deleted when the newest one was checked, and not before.

    Parameters
    ----------
    store : NodeStore
        The store.
    schedule : Schedule
        When and where.
    """

    def __init__(self, store: NodeStore, schedule: Schedule) -> None:
        self._store = store
        self._schedule = schedule
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backups", daemon=True)
        self._failed = False

    def problems(self) -> list[str]:
        """Return what the node's health says of its backups; anybody may read that."""
        said = "The last backup of the node's state failed; the SuperNode's log says why."
        return [said] if self._failed else []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Back up in the block; one that takes long when it ends is given up."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        pause = self.pause(time.time())
        while not self._stopped.wait(pause):
            every = self._schedule.seconds
            pause = every if self.once() else min(_RETRY_SECONDS, every)

    def pause(self, now: float) -> float:
        """Return how many seconds after a start the next backup is due.

        Parameters
        ----------
        now : float
            Unix time. A clock that was set wrong moves one backup, by one interval at most.
        """
        age = self._schedule.seconds
        # What is wrong with the directory is said by the backup that fails.
        with suppress(OSError):
            if found := self._found():
                age = now - found[-1][1].stat().st_mtime
        left = self._schedule.seconds - age
        return left if 0 < left <= self._schedule.seconds else 0.0

    def once(self) -> bool:
        """Write a backup, check it, and delete what is past the bound; return whether it is well.

        A store that has not changed since the last backup is not backed up again.
        """
        try:
            self._once()
        except (StoreError, OSError) as error:
            if not self._stopped.is_set():
                self._failed = True
                logger.error("The backup of the node's state failed: %s", error)
            return False
        self._failed = False
        return True

    def _once(self) -> None:
        directory, store_id = self._schedule.directory, self._store.store_id
        make_directory(directory, 0o700)
        found = self._found()
        generation = self._store.generation
        if found and found[-1][2] == generation:
            read_backup(found[-1][1])
            return
        number = found[-1][0] + 1 if found else 1
        target = directory / f"{store_id[:8]}-{number:06d}-{generation}.backup"
        start = time.monotonic()
        backup = back_up(self._store.directory, target, verify=self._store.findings)
        read_backup(target)
        if backup.generation != generation:
            # A step was committed meanwhile, and is in it.
            target = target.replace(
                target.with_name(f"{store_id[:8]}-{number:06d}-{backup.generation}.backup")
            )
        logger.info(
            "The state is backed up to '%s': commit %s, %s bytes, in %.1f s.",
            *(target, backup.generation, backup.size, time.monotonic() - start),
        )
        for _, old, _ in self._found()[: -self._schedule.keep]:
            old.unlink(missing_ok=True)

    def _found(self) -> list[tuple[int, Path, int]]:
        """Return number, path and last commit of the backups of this store, the oldest first."""
        found = []
        try:
            files = list(self._schedule.directory.iterdir())
        except FileNotFoundError:
            return []
        for file in files:
            name = _NAME.fullmatch(file.name)
            if name and self._store.store_id.startswith(name["store"]):
                found.append((int(name["number"]), file, int(name["generation"])))
        return sorted(found)
