"""Files that matter: written complete or not at all, and private; or named by an option."""

import errno
import os
import stat
from pathlib import Path

from fedstate.errors import SettingError

PRIVATE = 0o600
PUBLIC = 0o644


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that it exists either whole, durable and with its mode, or not at all.

    Parameters
    ----------
    path : Path
        Where to write; an existing file is replaced.
    content : bytes
        All of the file.
    mode : int
        The permission bits, set before the first byte is written.

    Raises
    ------
    OSError
        It cannot be written; the error names a path.
    """
    try:
        _write_new(path, content, mode)
    except OSError as error:
        if error.errno and error.filename is None:  # of a write, which knows no name
            error.filename = str(path)
        raise


def _write_new(path: Path, content: bytes, mode: int) -> None:
    make_directory(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def check_readable(option: str, path: str | os.PathLike[str]) -> None:
    """Make sure that the file which an option names can be read.

    What is neither file nor directory is left as it is: reading a pipe would empty it.

    Raises
    ------
    SettingError
        It cannot be read, or is a directory.
    """
    file = Path(path).expanduser()
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISREG(mode):
            os.close(os.open(file, os.O_RDONLY))
    except OSError as error:
        raise SettingError(
            f"{option} names '{path}', which cannot be read ({error.strerror}): give the path of "
            "a file that this user may read."
        ) from None


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """Make a directory, with what is above it, unless it is there.

    Raises
    ------
    NotADirectoryError
        Something else is there, of which `Path.mkdir` says that it exists.
    OSError
        It cannot be made.
    """
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except FileExistsError as error:
        problem = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, problem, error.filename) from None


def listed(directory: Path) -> list[Path]:
    """Return what is in a directory, sorted; nothing if it is none.

    Raises
    ------
    OSError
        It may not be read, which a glob would pass over.
    """
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
