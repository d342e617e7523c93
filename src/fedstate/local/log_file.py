"""The log of a process, which is bounded by whoever started it.

Several processes may have the file open, an executor's fork server among them, so that none of
them could put another into its place. They append to it: it is copied, and emptied.
"""

import contextlib
import shutil
from pathlib import Path

# As for containers, in docker-compose.yml; there is one more file with what was before.
MOST_BYTES = 10 * 1024**2


def bound_log(path: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Move what is in a log to ``.1`` at the end of its name, if it is too much.

    A line that is written at this very moment may be lost. What cannot be moved, since the disk
    is full, is dropped: a log never stops a federation.

    Parameters
    ----------
    path : Path
        The log; it need not be there.
    most_bytes : int
        How large it may get.

    Returns
    -------
    bool
        Whether it was too large.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return False
    except OSError:
        return False
    older, partial = path.with_name(f"{path.name}.1"), path.with_name(f"{path.name}.1.partial")
    with contextlib.suppress(OSError):
        shutil.copyfile(path, partial)
        partial.replace(older)
    with contextlib.suppress(OSError), path.open("r+b") as file:
        file.truncate(0)
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)
    return True
