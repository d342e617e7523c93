"""What the runs of a node print: where it is, and that it goes with the runs' state.

The node's executor writes it. Whoever looks for it finds it below the state directory, also where
it is a directory that the executor, in a container of its own, shares with the SuperNode.
"""

import contextlib
import time
from collections.abc import Collection
from pathlib import Path

from fedstate.errors import SettingError
from fedstate.logs.run_files import delete_output, outputs_in, prepare_directory

_NAME = "output"
# A run prints while it is refused, or before the store has it.
_GRACE_SECONDS = 3600.0


def output_of(state: Path) -> Path:
    """Return where the output of a node's runs is, below its state directory."""
    return state / _NAME


def place_output(state: Path, given: Path | None) -> Path:
    """Make the directory for the output of a node's runs, and return it.

    Parameters
    ----------
    state : Path
        The state directory.
    given : Path, optional
        Where it is to be; what is below the state directory is a link to it.

    Raises
    ------
    SettingError
        It cannot be written, or something else has its place.
    """
    below = output_of(state)
    if given is None:
        return prepare_directory(below, "--output")
    directory = prepare_directory(given, "--output")
    if directory == below.absolute():
        return directory
    try:
        if below.is_symlink():
            below.unlink()
        elif below.is_dir():
            below.rmdir()  # of a SuperNode that was not given one, and whose runs printed nothing
        below.symlink_to(directory)
    except OSError as error:
        raise SettingError(
            f"--output is {given}, and '{below}' is in the way ({error.strerror}): move what is "
            "there, or leave out --output."
        ) from None
    return directory


def delete_strays(
    directory: Path, kept: Collection[int], grace_seconds: float = _GRACE_SECONDS
) -> list[int]:
    """Delete the output of runs whose state is gone; return these runs.

    Parameters
    ----------
    directory : Path
        Where the output is.
    kept : collection of int
        The runs that the node has.
    grace_seconds : float
        For how long after its last line the output of any other run is kept.
    """
    oldest = time.time() - grace_seconds
    gone = []
    with contextlib.suppress(OSError):  # a directory that cannot be read has its own warning
        for each in outputs_in(directory).values():
            if each.run_id not in kept and each.written_at < oldest:
                delete_output(directory, each.run_id)
                gone.append(each.run_id)
    return gone
