"""Installing an app where several tasks may do so at once, and where one may have changed it."""

import fcntl
import hashlib
import io
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from fedstate.flower.apps import app_directory, unpack
from fedstate.logs import logger

_ABOUT_THE_FAB = ".info/"


class OtherAppError(Exception):
    """What a task was given to install is not the app that it was ordered with."""


def install(content: bytes, fab_hash: str) -> Path:
    """Install an app, and return its directory, in which there is what its FAB has.

    flwr's own installation copies into the final directory and takes any directory that is
    there for whole: of two tasks that start at once, one may load half an app, and what a task
    has put there in place of the app is loaded by the next. Here the app is put together beside
    its place and moved into it; what is there already is compared with the FAB, and is put back
    if it is not the same. Files that the app has added stay.

    Parameters
    ----------
    content : bytes
        The app's FAB.
    fab_hash : str
        The SHA-256 that the order of the task names, in hexadecimal; empty if it names none.

    Raises
    ------
    OtherAppError
        If the FAB is not the one of the order.
    """
    found = hashlib.sha256(content).hexdigest()
    if fab_hash not in ("", found):
        raise OtherAppError(
            f"The app that came for this task has the SHA-256 {found}, and the task is one of "
            f"{fab_hash}: it is not installed. Start the run anew."
        )
    place = app_directory(content, found)
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists() or place.is_symlink():
            changed = _changed(content, place)
            if not changed:
                return place
            logger.warning(
                "The installed app %s is not what its FAB says (%s): it is installed anew.",
                place.name,
                changed[0],
            )
            _remove(place)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as beside:
            made = unpack(content, Path(beside))
            made.rename(place)
    return place


def _changed(content: bytes, place: Path) -> list[str]:
    """Return what of the FAB is not as it was in an app's directory, by its names."""
    if place.is_symlink() or not place.is_dir():
        return [place.name]
    with zipfile.ZipFile(io.BytesIO(content)) as fab:
        names = [name for name in fab.namelist() if not name.startswith(_ABOUT_THE_FAB)]
        return [name for name in names if not _same(fab, name, place)]


def _same(fab: zipfile.ZipFile, name: str, place: Path) -> bool:
    there = place
    for part in PurePosixPath(name).parts:
        there /= part
        if there.is_symlink():
            return False
    if name.endswith("/"):
        return there.is_dir()
    return there.is_file() and there.read_bytes() == fab.read(name)


def _remove(place: Path) -> None:
    if place.is_symlink() or not place.is_dir():
        place.unlink()
    else:
        shutil.rmtree(place)
