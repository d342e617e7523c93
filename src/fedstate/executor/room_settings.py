"""What an executor's options say about the rooms of its runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedstate.errors import SettingError

AUTO, REQUIRE, NONE = "auto", "require", "none"
IDLE_SECONDS = 600.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


@dataclass(frozen=True)
class RoomSettings:
    """What the options of an executor say about the rooms of its runs.

    Attributes
    ----------
    walls : str
        ``auto`` (what the machine offers), ``require`` (all of it, or an error) or ``none``.
    directory : Path or None
        Where the runs' directories are; None for one among the temporary files.
    closed_directories, readable, writable : tuple of Path
        What the runs must not read, may read, and may write, beside what they need.
    closed_ports : tuple of int
        TCP ports to which the runs must not connect.
    output : Path or None
        Where what the runs print is kept, a file for each; None for nowhere.
    limits : mapping of str to int
        What one run may take, by the names of `RunLimits`, where it is not the default.
    idle_seconds : float
        How long a room without a task is kept, if nobody says that its run has ended.
    socket : Path or None
        The Unix socket of the Runtime API, which the runs' tasks have to reach.
    """

    walls: str = AUTO
    directory: Path | None = None
    closed_directories: tuple[Path, ...] = ()
    closed_ports: tuple[int, ...] = ()
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    output: Path | None = None
    limits: dict[str, int] = field(default_factory=dict)
    idle_seconds: float = IDLE_SECONDS
    socket: Path | None = None


def size_of(option: str, text: str | None) -> int | None:
    """Return a number of bytes, as in ``500m`` or ``2g``; None for no text.

    Raises
    ------
    SettingError
        If it is none, or no bytes at all.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    size = 0 if match is None else int(float(match[1]) * _UNITS[match[2].lower()])
    if size <= 0:
        raise SettingError(
            f"{option} is '{text}', which is no size: give a number of bytes, or one with k, m, "
            "g or t, such as 500m or 2g."
        )
    return size


def checked_walls(value: str) -> str:
    """Return the value of ``--walls``.

    Raises
    ------
    SettingError
        If there is no such value.
    """
    if value not in (AUTO, REQUIRE, NONE):
        raise SettingError(
            f"--walls is '{value}': give 'auto' (what this machine offers), 'require' (all of "
            "it, or an error) or 'none'."
        )
    return value


def existing(option: str, paths: Sequence[Path] | None) -> tuple[Path, ...]:
    """Return the paths, absolute.

    Raises
    ------
    SettingError
        If one of them does not exist.
    """
    found = []
    for path in paths or ():
        place = path.expanduser().absolute()
        if not place.exists():
            raise SettingError(
                f"{option} names {path}, which does not exist: make it, or leave it out."
            )
        found.append(place)
    return tuple(found)


def ports(option: str, given: Sequence[int] | None) -> tuple[int, ...]:
    """Return the TCP ports.

    Raises
    ------
    SettingError
        If one of them is none.
    """
    for port in given or ():
        if not 0 < port < 2**16:
            raise SettingError(f"{option} is {port}, which is no port: give one from 1 to 65535.")
    return tuple(given or ())
