"""A file that is there whole or not at all, and never in the place of another one unasked."""

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedstate.files import PRIVATE
from fedstate.inspection.errors import InspectionError

# What safetensors says, in the middle of more, when the system has refused to write.
_REASON = re.compile(r"I/O error: (.+?) \(os error")


@contextmanager
def whole_file(target: Path, *, replace: bool) -> Iterator[Path]:
    """Let the block write a file beside `target`, which takes its place when the block has ended.

    Parameters
    ----------
    target : Path
        The file that is to be there, durable, when the block has ended; only its owner may read
        it.
    replace : bool
        Whether it may be there already.

    Raises
    ------
    InspectionError
        The file is there, or cannot be written.
    """
    # Keras tells the format by the end of the name.
    partial = target.with_name(f".partial-{target.name}")
    try:
        _check_free(target, replace)
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        yield partial
        _sync(partial)
        _check_free(target, replace)
        partial.replace(target)
        _sync(target.parent)
    except InspectionError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise InspectionError(
            f"The file '{target}' cannot be written ({reason}). Give a file in a directory in "
            "which you may write, and that has room for it."
        ) from error
    finally:
        _remove(partial)


def _check_free(target: Path, replace: bool) -> None:
    if target.is_dir():
        raise InspectionError(f"'{target}' is a directory; give the name of a file.")
    if not replace and (target.exists() or target.is_symlink()):
        raise InspectionError(
            f"The file '{target}' is there already; give --replace to replace it, or another "
            "name."
        )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(partial: Path) -> None:
    # If the directory cannot be written to, that has been said.
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)


def _reason(error: BaseException | None) -> str | None:
    """Return why the system has refused to write, or None if that is not what has happened."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.strerror
        if found := _REASON.search(str(error)):
            return found[1]
        error = error.__cause__ or error.__context__
    return None
