"""What a run's room is to be: decided by the executor, carried out by the room's process."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedstate.flower.task_order import TaskOrder
from fedstate.walls import RunLimits, Walls

CERTIFICATE = "ca.crt"
# Of a run's own directory, by the variable that leads programs there.
_PLACES = {
    "HOME": "home",
    "TMPDIR": "tmp",
    "TMP": "tmp",
    "TEMP": "tmp",
    "KERAS_HOME": "keras",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "XDG_STATE_HOME": "home/.local/state",
    "XDG_RUNTIME_DIR": "tmp",
}
# Python asks for a name of whoever has no entry among the system's users.
_NAMES = ("USER", "LOGNAME")


@dataclass(frozen=True)
class RoomPlan:
    """One run's place on this machine.

    Attributes
    ----------
    directory : Path
        The run's own directory, which is deleted with the room.
    fab_hash : str
        The SHA-256 of the run's FAB, in hexadecimal: its app is installed below that name.
    work : Path
        Where its programs start.
    walls : Walls or None
        What encloses its processes; None for nothing.
    limits : RunLimits
        How much it may take.
    certificate : str or None
        The certificate authority (PEM) of the server, of which the room gets a copy: what is
        beside the original is not for apps.
    socket : Path or None
        The Unix socket of the Runtime API; None where it is reached by its address.
    """

    directory: Path
    fab_hash: str
    work: Path
    walls: Walls | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    certificate: str | None = field(default=None, repr=False)
    socket: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the environment of the run's processes has in place of the executor's."""
        given = {name: str(self.directory / place) for name, place in _PLACES.items()}
        given["FLWR_HOME"] = str(self.directory / "flwr" / (self.fab_hash or "app"))
        if self.walls is not None and self.walls.user is not None:
            given |= dict.fromkeys(_NAMES, f"run-{self.walls.user}")
        return given

    def order(self, order: TaskOrder) -> TaskOrder:
        """Return the order as the process of a task in this room needs it."""
        path = order.root_certificates_path
        if path is not None and self.certificate is not None:
            path = str(self.directory / CERTIFICATE)
        # A process behind walls cannot see whether the executor lives, except by its channel.
        return replace(order, root_certificates_path=path, parent_pid=None)

    def write_certificate(self) -> None:
        """Put the certificate authority into the room, in one moment: tasks may look for it.

        Raises
        ------
        OSError
            If it cannot be written. What the run itself has put into its place is not followed.
        """
        if self.certificate is None:
            return
        partial = self.directory / f".{CERTIFICATE}.partial"
        partial.unlink(missing_ok=True)
        with partial.open("x") as file:  # through no link
            file.write(self.certificate)
        partial.replace(self.directory / CERTIFICATE)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "directory": str(self.directory),
            "fab_hash": self.fab_hash,
            "work": str(self.work),
            "walls": None if self.walls is None else self.walls.to_json(),
            "limits": self.limits.to_json(),
            "certificate": self.certificate,
            "socket": None if self.socket is None else str(self.socket),
        }

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "RoomPlan":
        """Return the plan that `to_json` has written."""
        return RoomPlan(
            Path(given["directory"]),
            given["fab_hash"],
            Path(given["work"]),
            None if given["walls"] is None else Walls.from_json(given["walls"]),
            RunLimits(**given["limits"]),
            given["certificate"],
            None if given["socket"] is None else Path(given["socket"]),
        )
