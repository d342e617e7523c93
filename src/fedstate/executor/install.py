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


def install(content: bytes) -> Path:
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
    """
    place = app_directory(content, hashlib.sha256(content).hexdigest())
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
