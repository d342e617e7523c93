"""The directories of runs: made, measured and deleted, on behalf of a run's own user.

An executor that is not root cannot read what belongs to another user, whose files it therefore
has measured and deleted by a process of that user.
"""

import os
import stat
import subprocess
from pathlib import Path

from fedstate.errors import SettingError

# Others pass through to the one that is theirs, and see no names.
_ROOMS_MODE = 0o711
# Where a program leaves files although TMPDIR names another place.
_SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_SYSTEM_V = (("shm", "shmid", "-m"), ("sem", "semid", "-s"), ("msg", "msqid", "-q"))
# A directory that its owner cannot enter is made one that he can. The directory itself is for
# the owner of the one above to remove.
_DELETE = 'chmod -R u+rwX -- "$1"; rm -rf -- "$1"'
_DELETE_SHARED = 'u=$1; shift; find "$@" -mindepth 1 -maxdepth 1 -user "$u" -exec rm -rf -- {} +'
# What takes no block takes an entry of its file system's tables, as good as a block.
_MEASURE = 'du -s -x --block-size=1 -- "$1"; du -s -x --inodes -- "$1"'
_ENTRY_BYTES = 4096
_SECONDS = 60.0


def prepare_rooms(path: Path) -> Path:
    """Make the directory in which the runs' directories are, and return its path without links.

    Raises
    ------
    SettingError
        It cannot be made, or belongs to somebody else, who could replace what is in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=_ROOMS_MODE)
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise SettingError(
                f"--rooms is {path}, which is not a directory of this user: name another one, "
                "or remove it."
            )
        path.chmod(_ROOMS_MODE)
    except OSError as error:
        raise SettingError(
            f"--rooms is {path}, which cannot be made ({error.strerror}): name a directory "
            "that can."
        ) from error
    return path.resolve()


def create(directory: Path, user: int | None) -> None:
    """Make a run's directory, with mode 0700, for its user; None for this one.

    Raises
    ------
    OSError
        It is there already, or cannot be made.
    """
    directory.mkdir(mode=0o700)
    if user is not None:
        os.chown(directory, user, user)


def begin_to_delete(directory: Path, user: int | None) -> "subprocess.Popen[bytes] | None":
    """Begin to delete a run's directory, and what its user has left in places that all share.

    Returns
    -------
    subprocess.Popen or None
        The process that does it; the empty directory itself is then for the caller to remove.
        None if it could not be started.
    """
    command = ["sh", "-c", _DELETE, "sh", str(directory)]
    if user is not None:
        script = f'd=$1; shift; ({_DELETE_SHARED}); set -- "$d"; {_DELETE}'
        command = ["sh", "-c", script, "sh", str(directory), str(user), *_SHARED]
    return _begin(user, command)


def begin_to_measure(directory: Path, user: int | None) -> "subprocess.Popen[bytes] | None":
    """Begin to measure a directory; `measured` has the answer once the process has ended."""
    command = ["sh", "-c", _MEASURE, "sh", str(directory)]
    return _begin(user, command, output=subprocess.PIPE)


def measured(process: "subprocess.Popen[bytes]") -> int:
    """Return the bytes that a directory takes on its disk."""
    return _sum(process.communicate()[0].decode(errors="replace"))


def _sum(output: str) -> int:
    """Return what `_MEASURE` has found, in bytes; 0 for what it could not find."""
    numbers = [int(line.split()[0]) for line in output.splitlines() if line[:1].isdigit()]
    blocks, entries = (*numbers, 0, 0)[:2]
    return blocks + entries * _ENTRY_BYTES


def delete_system_v(user: int) -> None:
    """Delete the System V objects of a user."""
    if options := _system_v_options(user):
        _as_user(user, ["ipcrm", *options])


def _begin(
    user: int | None, command: list[str], output: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes] | None":
    given: dict[str, object] = {}
    if user is not None:
        given = {"user": user, "group": user, "extra_groups": []}
    try:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **given,
        )
    except OSError:
        return None


def _system_v_options(user: int) -> list[str]:
    options = []
    for kind, column, option in _SYSTEM_V:
        try:
            head, *rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        except (OSError, ValueError):
            continue
        names = head.split()
        place, owner = names.index(column), names.index("uid")
        for row in rows:
            fields = row.split()
            if int(fields[owner]) == user:
                options += [option, fields[place]]
    return options


def _as_user(user: int | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    given: dict[str, object] = {}
    if user is not None:
        given = {"user": user, "group": user, "extra_groups": []}
    try:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=_SECONDS,
            cwd="/",
            **given,
        )
    except (OSError, subprocess.TimeoutExpired):
        return subprocess.CompletedProcess(command, 1, "", "")
