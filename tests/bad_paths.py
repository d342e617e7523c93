"""Paths with which something is wrong, each of them made in an empty directory of its own."""

import ctypes
import functools
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.small_disk import fill, small_disk

# Root may read everything, by these two.
_OVERRIDE = 1 << 1 | 1 << 2
_VERSION = 0x20080522


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Let permissions hold for this thread in the block, also if it is root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (_Sets * 2)()
    assert libc.capget(header, sets) == 0
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDE
    assert libc.capset(header, sets) == 0
    access = os.access
    # Which asks for the user that this process is, and would still be told of root's rights.
    os.access = functools.partial(access, effective_ids=True)
    try:
        yield
    finally:
        os.access = access
        sets[0].effective = before
        assert libc.capset(header, sets) == 0


def missing(here: Path) -> Path:
    return here / "missing"


def missing_parent(here: Path) -> Path:
    return here / "missing" / "too"


def below_a_file(here: Path) -> Path:
    (here / "file").write_text("text")
    return here / "file" / "below"


def dangling(here: Path) -> Path:
    (here / "link").symlink_to(here / "nowhere" / "file")
    return here / "link"


def loop(here: Path) -> Path:
    (here / "link").symlink_to(here / "link")
    return here / "link"


def newline(here: Path) -> Path:
    return here / "of two\nlines"


def newline_below(here: Path) -> Path:
    return here / "of two\nlines" / "below"


def too_long(here: Path) -> Path:
    return here / ("n" * 300)


def text(here: Path) -> Path:
    (here / "text").write_text("This is none of our files.\n")
    return here / "text"


def null(_: Path) -> Path:
    return Path("/dev/null")


def full_device(_: Path) -> Path:
    return Path("/dev/full")


def empty_directory(here: Path) -> Path:
    (here / "directory").mkdir()
    return here / "directory"


def foreign_directory(here: Path) -> Path:
    directory = empty_directory(here)
    (directory / "theirs.txt").write_text("text")
    return directory


def unreadable(here: Path) -> Path:
    file = here / "unreadable"
    file.write_text("secret")
    file.chmod(0)
    return file


def unreadable_directory(here: Path) -> Path:
    directory = foreign_directory(here)
    directory.chmod(0)
    return directory


def in_unreadable_directory(here: Path) -> Path:
    return unreadable_directory(here) / "file"


def in_unwritable_directory(here: Path) -> Path:
    directory = empty_directory(here)
    directory.chmod(0o500)
    return directory / "new"


Maker = Callable[[Path], Path]


@contextmanager
def full_disk(here: Path) -> Iterator[Path]:
    """Yield a path on a disk that is full."""
    with small_disk(here / "full", "size=1m,mode=755") as disk:
        fill(disk / "filler")
        yield disk / "new"


@contextmanager
def read_only_disk(here: Path) -> Iterator[Path]:
    """Yield a path on a disk that cannot be written."""
    with small_disk(here / "read-only", "size=1m,ro") as disk:
        yield disk / "new"


def remount_read_only(disk: Path) -> None:
    """Let nothing be written any more on a disk that `small_disk` has made."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def content(directory: Path) -> dict[str, object]:
    """Return which files there are below a directory, to be compared."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found
