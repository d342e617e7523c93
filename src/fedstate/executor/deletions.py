"""Deleting what ended runs have left, beside everything else: a run may have left a lot."""

import contextlib
import itertools
import subprocess
from pathlib import Path

from fedstate.logs import logger
from fedstate.waiting import wait_until
from fedstate.walls import directories

_ENDED = ".ended-"


class Deletions:
    """The deletions under way, each by a process of its own."""

    def __init__(self) -> None:
        self._under_way: list[tuple[Path, int | None, subprocess.Popen[bytes] | None]] = []
        self._numbers = itertools.count()

    def begin(self, directory: Path, user: int | None) -> None:
        """Take a run's directory out of the way, and begin to delete it.

        Parameters
        ----------
        directory
            The directory; its place is free at once.
        user
            The run's own user, of whom no process is left; None if it has none.
        """
        place = directory
        while not place.name.startswith(_ENDED):
            other = directory.with_name(f"{_ENDED}{next(self._numbers)}-{directory.name}")
            place = directory if other.exists() else other
        with contextlib.suppress(OSError):
            directory.rename(place)
        self._under_way.append((place, user, directories.begin_to_delete(place, user)))

    def poll(self) -> bool:
        """Take note of deletions that have been done; return whether all are."""
        for each in list(self._under_way):
            directory, user, process = each
            if process is not None and process.poll() is None:
                continue
            self._under_way.remove(each)
            with contextlib.suppress(OSError):
                directory.rmdir()
            if user is not None:
                directories.delete_system_v(user)
            if directory.exists():
                logger.warning("The directory %s of a run cannot be deleted.", directory)
        return not self._under_way

    def finish(self, seconds: float) -> None:
        """Wait until all are done, for a while; what is left is for the next executor."""
        if not wait_until(self.poll, seconds, poll_seconds=0.02):
            for _, _, process in self._under_way:
                if process is not None:
                    process.kill()
                    process.wait()
