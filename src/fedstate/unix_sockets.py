"""Unix sockets in files: how a program listens on one and connects to one.

The kernel takes paths of 107 bytes. A longer one is named by way of a descriptor of its
directory, which also leads past directories that this process may not pass any longer.
"""

import contextlib
import fcntl
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import FederationError, SettingError

_LINUX = sys.platform.startswith("linux")
# What fits into the structure of a Unix socket's address, with the zero at its end.
MOST_PATH_BYTES = 107 if _LINUX else 103
# Whoever may pass its directory may connect, as whoever reaches a port may.
SOCKET_MODE = 0o666
# Of a directory of sockets: whoever comes to it passes through, and sees no names.
PASSAGE_MODE = 0o711
_LOOK_SECONDS = 1.0
_DESCRIPTORS = "/proc/self/fd"
OPTION = "--runtime-socket"


@dataclass(frozen=True)
class BoundSocket:
    """A socket that is listened on, and the file that stands for it.

    Attributes
    ----------
    socket : socket.socket
        The listening socket.
    path : Path
        Its file.
    """

    socket: socket.socket
    path: Path

    def close(self) -> None:
        """Listen no longer, and remove the file, unless it is another server's by now."""
        self.socket.close()
        with contextlib.suppress(OSError):
            try:
                connect(self.path, _LOOK_SECONDS).close()
            except ConnectionRefusedError:
                self.path.unlink()


def checked(path: Path | None) -> Path | None:
    """Return what the option names as an absolute path; None for nothing.

    Raises
    ------
    SettingError
        If its directory is not there.
    """
    if path is None:
        return None
    found = path.expanduser().absolute()
    if not found.parent.is_dir():
        raise SettingError(
            f"{OPTION} is '{path}', and there is no directory '{found.parent}': make it, or name "
            "a file in another one."
        )
    return found


def listen(path: Path, backlog: int, *, what: str) -> BoundSocket:
    """Listen on a socket; the file that a killed server has left is replaced.

    Parameters
    ----------
    path : Path
        The file to make. Every user may connect who may pass its directory.
    backlog : int
        How many connections may wait to be accepted.
    what : str
        What is served there, for messages.

    Raises
    ------
    FederationError
        If it cannot be listened on, since another server listens there, say.
    """
    with _alone(path.parent):
        _make_way(path, what)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_name(path) as name:
                sock.bind(name)
            path.chmod(SOCKET_MODE)
            sock.listen(backlog)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise FederationError(
                f"The {what} cannot be served on '{path}' ({error.strerror or error}); give a "
                f"file in a directory that this user may write to with {OPTION}."
            ) from None
    return BoundSocket(sock, path)


def connect(path: str | os.PathLike[str], seconds: float | None = None) -> socket.socket:
    """Return a connection to the socket with this path.

    Raises
    ------
    OSError
        If nobody listens there; TimeoutError if nobody accepts within this time.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_name(Path(path)) as name:
            _connect(sock, name, seconds)
        sock.settimeout(seconds)
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Yield a name for a socket's file that the kernel takes, good for as long as the block runs.

    Raises
    ------
    OSError
        If there is none.
    """
    if len(os.fsencode(path)) <= MOST_PATH_BYTES or not _LINUX:
        yield str(path)  # where there is no other way, Python says that it is too long
        return
    descriptor = hold_directory(path.parent)
    try:
        yield by_descriptor(descriptor, path.name)
    finally:
        os.close(descriptor)


def hold_directory(path: Path) -> int:
    """Return a descriptor of a directory, by which no more can be done than to look up names."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def by_descriptor(directory: int, name: str) -> str:
    """Return a path of a file in a directory that this process holds."""
    return f"{_DESCRIPTORS}/{directory}/{name}"


def peer_user(sock: socket.socket) -> int | None:
    """Return the user who has connected to a Unix socket; None where the system does not say."""
    if not _LINUX:
        return None
    # As the kernel noted them at the connection: a process, its user and its group.
    credentials = struct.Struct("=iII")
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    return int(credentials.unpack(found)[1])


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let no other server begin to listen in a directory meanwhile, where it can be locked."""
    descriptor = None
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _connect(sock: socket.socket, name: str, seconds: float | None) -> None:
    """Connect, and wait where as many connections wait already as may."""
    # With a timeout of Python's, the kernel does not wait, and Python does not either.
    _set_kernel_timeout(sock, seconds or 0.0)
    try:
        sock.connect(name)
    except BlockingIOError:
        raise TimeoutError(f"nobody has accepted within {seconds} s") from None
    _set_kernel_timeout(sock, 0.0)


def _set_kernel_timeout(sock: socket.socket, seconds: float) -> None:
    whole = int(seconds)
    interval = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)


def _make_way(path: Path, what: str) -> None:
    """Remove the socket that a killed server has left."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FederationError(
                f"The {what} cannot be served on '{path}', which is a file and no socket: give "
                f"another path with {OPTION}."
            )
        connect(path, _LOOK_SECONDS).close()
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):  # `bind` says what is wrong
            path.unlink()
        return
    except TimeoutError:
        pass  # somebody listens, who is busy
    except OSError as error:
        raise FederationError(
            f"The {what} cannot be served on '{path}' ({error.strerror or error}): give another "
            f"path with {OPTION}."
        ) from None
    raise FederationError(
        f"The {what} cannot be served on '{path}', where another server listens: stop that, or "
        f"give another path with {OPTION}."
    )
