"""Where the executors of one local federation keep what their runs have, and what is not walled.

All of it is in one directory among the temporary files, so that one name closes it to every run:
on plain processes the executors and all of their runs may have the same user.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from fedstate.walls import offered
from fedstate.walls.directories import prepare_rooms


class FederationRooms:
    """The rooms of one federation's executors.

    Parameters
    ----------
    directory : Path
        The federation's own, which names the one of the rooms: short, since Unix sockets in it
        have room for 108 bytes, and the same at the next start, which clears what was left.
    """

    def __init__(self, directory: Path) -> None:
        name = hashlib.sha256(f"{directory} {os.geteuid()}".encode()).hexdigest()[:8]
        self.directory = Path(tempfile.gettempdir()).resolve() / f"fedstate-local-{name}"

    def of(self, executor: str) -> Path:
        """Return the directory for the rooms of one executor."""
        return self.directory / executor

    def prepare(self) -> None:
        """Make the directory.

        Raises
        ------
        SettingError
            If somebody else has it, or it cannot be made.
        """
        prepare_rooms(self.directory)

    def missing_walls(self) -> str | None:
        """Return in one line what does not keep runs apart on this machine; None if all does.

        Only where this is the one thread of Python: a process is forked to try it.
        """
        self.prepare()
        try:
            return offered(self.directory).missing()
        finally:
            self.remove_if_empty()

    def remove_if_empty(self) -> None:
        """Remove the directories; what a killed executor has left in one stays to be cleared."""
        with contextlib.suppress(OSError):
            for executor in [*self.directory.iterdir()]:
                with contextlib.suppress(OSError):
                    if {each.name for each in executor.iterdir()} == {".lock"}:
                        (executor / ".lock").unlink()
                    executor.rmdir()
            self.directory.rmdir()
