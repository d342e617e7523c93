"""A view of the file system, and shared memory, for one run.

Root's own Python may lie where no other user passes, such as below /root. In a mount namespace of
its own a run sees, in place of such a directory, an empty one with only what it needs in it.

Without root a run can have shared memory and terminals of its own in a namespace of users, in
which it has the rights to mount until it gives them up, and which has no user but its own. What
is hidden there, no call that takes a path can reach; Landlock knows not all of them.
"""

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedstate import system
from fedstate.unix_sockets import hold_directory

_CAP_SYS_ADMIN = 21
_NEW_MOUNTS, _NEW_IPC, _NEW_USERS = 0x00020000, 0x08000000, 0x10000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_TERMINALS, _NEW_TERMINAL = Path("/dev/pts"), Path("/dev/ptmx")
_SOCKETS = Path("/proc/net/unix")
# Whoever may show windows may type into those of others; a server goes by the user alone.
_OF_SCREENS = (Path("/tmp/.X11-unix"), Path("/tmp/.ICE-unix"))  # noqa: S108
_OF_USERS = Path("/run/user")

# Of the namespace that the writer is in.
_SHARED_PAGES = Path("/proc/sys/kernel/shmall")

_libc = ctypes.CDLL(None, use_errno=True)


def may_mount() -> bool:
    """Return whether this process may change what it sees of the file system."""
    return bool(system.effective_capabilities() >> _CAP_SYS_ADMIN & 1)


def own_view(
    needed: Iterable[Path], memory: int | None = None, passage: Path | None = None
) -> int | None:
    """Give this process and its children shared memory, and a view of files, of their own.

    Changes the umask.

    Parameters
    ----------
    needed : iterable of Path
        What another user has to reach.
    memory : int, optional
        Bytes that shared memory may take, in files and in System V segments each.
    passage : Path, optional
        A directory that is held, also where its path leads there no longer.

    Returns
    -------
    int or None
        The descriptor of the passage; None if there is none. Upwards it leads no further than
        to a directory that another user cannot pass, or into the view.

    Raises
    ------
    OSError
        The kernel refused.
    """
    os.umask(0o022)  # what is made here is for others to pass
    if _libc.unshare(_NEW_MOUNTS | _NEW_IPC):
        _raise("the namespaces of a run")
    _mount("none", Path("/"), "", _RECURSIVE | _PRIVATE)
    _mount_shared_memory(memory)
    if memory is not None:
        with contextlib.suppress(OSError):  # /proc may be there to read only
            _SHARED_PAGES.write_text(str(memory // os.sysconf("SC_PAGE_SIZE")))
    held = None if passage is None else hold_directory(passage)
    closed: dict[Path, list[Path]] = {}
    for path in {each.resolve() for each in needed}:
        if path.exists() and (above := impassable(path)) is not None:
            closed.setdefault(above, []).append(path)
    for above, paths in closed.items():
        _replace(above, paths)
    return held


def own_memory(memory: int | None = None) -> None:
    """Give this process and its children shared memory of their own, without being root.

    Only in a process that may be given up: when this fails, it may have done so half way.

    Parameters
    ----------
    memory : int, optional
        Bytes that files in shared memory may take.

    Raises
    ------
    OSError
        The kernel refused: not every system lets its users have namespaces.
    """
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEW_USERS | _NEW_MOUNTS | _NEW_IPC):
        _raise("the namespaces of a run")
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")
    _mount_shared_memory(memory)


def own_terminals() -> bool:
    """Give this process terminals of its own, in `own_memory`; return False if it has none."""
    try:
        _mount("devpts", _TERMINALS, "devpts", _NOSUID | _NOEXEC, "ptmxmode=0666,mode=0600")
        if not _NEW_TERMINAL.is_symlink():
            _mount(str(_TERMINALS / "ptmx"), _NEW_TERMINAL, "", _BIND)
    except OSError:
        return False
    return True


def hide(closed: Iterable[Path], private: Iterable[Path], kept: Iterable[Path]) -> None:
    """Hide directories from this process, and sockets of its user, in `own_memory`.

    Parameters
    ----------
    closed : iterable of Path
        Directories in whose place there is an empty one.
    private : iterable of Path
        The same of directories that are not in something that is kept.
    kept : iterable of Path
        What is still there, with the sockets in it.

    Raises
    ------
    OSError
        The kernel refused.
    """
    needed = _there(kept)
    own = _OF_USERS / str(os.geteuid())
    hidden = _there(closed) | {
        path for path in _there((*private, own, *_OF_SCREENS)) if not _is_in(path, needed)
    }
    for place in sorted(hidden - needed, key=lambda path: len(path.parts)):
        if place.is_dir():
            _replace(place, [path for path in needed if path.is_relative_to(place)])
    for path in private_sockets():
        if not _is_in(path, needed):
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                _mount(os.devnull, path, "", _BIND)


def _there(paths: Iterable[Path]) -> set[Path]:
    """Return what is there, without links; what is out of reach is as good as gone."""
    return {path.resolve() for path in paths if os.path.exists(path)}  # noqa: PTH110


def _is_in(path: Path, directories: Iterable[Path]) -> bool:
    return any(path.is_relative_to(each) for each in directories)


def private_sockets() -> list[Path]:
    """Return the sockets in files to which this process can connect, and other users cannot."""
    columns = [line.split(maxsplit=7) for line in _SOCKETS.read_text().splitlines()]
    named = {Path(each[7]) for each in columns if len(each) > 7 and each[7].startswith("/")}
    found = []
    for path in sorted(named):
        with contextlib.suppress(OSError):  # it is gone, or out of reach
            for_all = path.lstat().st_mode & stat.S_IWOTH and impassable(path) is None
            if path.is_socket() and os.access(path, os.W_OK) and not for_all:
                found.append(path)
    return found


def _mount_shared_memory(memory: int | None) -> None:
    if SHARED_MEMORY.is_dir():
        size = "" if memory is None else f",size={memory}"
        flags = _NOSUID | _NODEV | _NOEXEC
        _mount("tmpfs", SHARED_MEMORY, "tmpfs", flags, f"mode=1777{size}")


def impassable(path: Path) -> Path | None:
    """Return the first directory on the way to a path that others cannot pass; None if none."""
    for above in reversed(path.parents):
        if not above.stat().st_mode & stat.S_IXOTH:
            return above
    return None


def _replace(above: Path, paths: Sequence[Path]) -> None:
    """Put an empty directory in the place of one, with these paths of it still there."""
    # What lies in another that is needed comes with it.
    outer = [
        path for path in paths if not any(path.is_relative_to(p) for p in paths if p != path)
    ]
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in outer]
    try:
        _mount("tmpfs", above, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m")
        for path, descriptor in held:
            source = f"/proc/self/fd/{descriptor}"
            if os.path.isdir(source):  # noqa: PTH112 - a Path would resolve the link
                path.mkdir(parents=True, mode=0o755)
            else:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                path.touch()
            _mount(source, path, "", _BIND | _RECURSIVE)
    finally:
        for _, descriptor in held:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode())
    if _libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()):
        _raise(str(target))


def _raise(what: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), what)
