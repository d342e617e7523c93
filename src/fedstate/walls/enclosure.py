"""What encloses the processes of one run, and the one call that puts it up.

Two walls, each of which holds without the other: a user of the run's own, where this process may
change users, and Landlock, where the kernel offers it.
"""

import contextlib
import os
import pwd
import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fedstate import system
from fedstate.errors import FederationError
from fedstate.unix_sockets import hold_directory
from fedstate.walls import filter as call_filter
from fedstate.walls import mounts
from fedstate.walls.landlock import Domain, all_but
from fedstate.walls.limits import RunLimits

# The kernel kills what has the most points when memory runs out: a run before the fork server.
_OUT_OF_MEMORY_POINTS = 800
_MESSAGE_QUEUE_BYTES = 1024 * 1024
# What programs need of the devices; /dev holds disks, too, which root's programs could open.
_DEVICES = (
    *("null", "zero", "full", "random", "urandom", "tty", "shm"),
    *("dri", "kfd", "infiniband"),
)
_TERMINALS = ("ptmx", "pts")
_GPU_DEVICES = "nvidia*"


class WallError(FederationError):
    """A wall could not be put up; no app may run without it."""


@dataclass(frozen=True)
class Walls:
    """What encloses the processes of one run.

    Attributes
    ----------
    directory : Path
        The run's own directory.
    user : int or None
        The run's own user and group; None to stay the user that this process is.
    limits : RunLimits
        How much the run may take.
    landlock : int
        The ABI of Landlock to use; 0 for none.
    closed : tuple of Path
        Directories that must not be read, whatever they are in.
    readable : tuple of Path
        What the run needs to read, Python's environment above all: it may lie in the home
        directory, which is closed where the run has no user of its own, or where no other user
        passes.
    writable : tuple of Path
        What may be written beside the run's own directory.
    closed_ports : tuple of int
        TCP ports to which the run must not connect, and on which it must not listen.
    taken_ports : tuple of int
        TCP ports to which it may connect, and on which it must not listen.
    passage : Path or None
        A directory in which the run has to reach a Unix socket, whatever is closed. One with a
        user of its own may not pass the directories above it, and holds this one open.
    own_memory : bool
        Whether the run, without a user of its own, is to have shared memory, terminals and a view
        of files of its own, where this process has one thread.
    own_terminals : bool
        Whether it has such terminals already.
    """

    directory: Path
    user: int | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    landlock: int = 0
    closed: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    closed_ports: tuple[int, ...] = ()
    taken_ports: tuple[int, ...] = ()
    passage: Path | None = None
    own_memory: bool = False
    own_terminals: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the walls as a JSON object."""
        given = asdict(self)
        for name in ("closed", "readable", "writable"):
            given[name] = [str(path) for path in given[name]]
        passage = None if self.passage is None else str(self.passage)
        return given | {"directory": str(self.directory), "passage": passage}

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "Walls":
        """Return the walls that `to_json` has written."""
        paths = {
            name: tuple(Path(path) for path in given[name])
            for name in ("closed", "readable", "writable")
        }
        return Walls(
            Path(given["directory"]),
            user=given["user"],
            limits=RunLimits(**given["limits"]),
            landlock=given["landlock"],
            closed_ports=tuple(given["closed_ports"]),
            taken_ports=tuple(given["taken_ports"]),
            passage=None if given["passage"] is None else Path(given["passage"]),
            own_memory=given["own_memory"],
            own_terminals=given["own_terminals"],
            **paths,
        )


def enter(walls: Walls) -> int | None:
    """Put this process, and all that it will start, behind the walls. There is no way back.

    Only where this is the one thread of Python, and before any code of an app.

    Returns
    -------
    int or None
        The descriptor of the passage; None where its path leads there.

    Raises
    ------
    WallError
        A wall is not up as it should be; this process must end.
    """
    try:
        passage = _enter(walls)
    except OSError as error:
        raise WallError(f"A wall around a run cannot be put up: {error}.") from error
    if system.effective_capabilities():
        raise WallError("A run's process still has capabilities.")
    if walls.user is not None and {*os.getresuid(), *os.getresgid()} != {walls.user}:
        raise WallError(f"A run's process is not the user {walls.user}.")
    return passage


def _enter(walls: Walls) -> int | None:
    with contextlib.suppress(PermissionError):  # it leads its session already
        os.setsid()
    system.join_new_session_keyring()
    system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
    _limit(walls)
    passage = None
    if walls.user is not None and mounts.may_mount():
        needed = (*walls.readable, *walls.writable, walls.directory)
        passage = mounts.own_view(needed, walls.limits.memory, walls.passage)
    else:
        walls = enter_view(walls)
        if walls.passage is not None and walls.user is not None:
            passage = hold_directory(walls.passage)  # where the run's user may not come by itself
    # A group of its own may read what it writes: the group of a directory of records is another.
    os.umask(0o077 if walls.user is None else 0o027)
    domain = _domain(walls) if walls.landlock else None
    system.empty_bounding_set()
    if walls.user is not None:
        os.setgroups([])
        os.setresgid(walls.user, walls.user, walls.user)
        os.setresuid(walls.user, walls.user, walls.user)
    system.drop_all_capabilities()
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    if domain is not None:
        domain.enter()
    call_filter.enter(own_user=walls.user is not None)
    # Last: it keeps even other processes of the user from reading memory and descriptors.
    system.prctl(system.PR_SET_DUMPABLE, 0)
    return passage


def enter_view(walls: Walls) -> Walls:
    """Give this process the shared memory, terminals and view of files that its run is to have.

    The kernel allows it to a process of one thread alone, such as a fork; not to one that has
    imported NumPy. What is left of the walls is for `enter`, also after this process has
    executed another program.

    Returns
    -------
    Walls
        The walls that are still to be put up.

    Raises
    ------
    OSError
        The kernel refused, perhaps half way; this process must end.
    """
    if not walls.own_memory or len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
        return walls
    mounts.own_memory(walls.limits.memory)
    terminals = mounts.own_terminals()
    passage = () if walls.passage is None else (walls.passage,)
    kept = (*walls.readable, *walls.writable, walls.directory, *passage)
    mounts.hide(walls.closed, _homes(), kept)
    return replace(walls, own_memory=False, own_terminals=terminals)


def _limit(walls: Walls) -> None:
    limits = walls.limits
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_FSIZE, limits.files)
    if walls.user is not None:
        # It counts what the user has, so it is of use to a run with a user of its own alone.
        _lower(resource.RLIMIT_NPROC, limits.processes)
    with contextlib.suppress(AttributeError, ValueError, OSError):
        _lower(resource.RLIMIT_MSGQUEUE, _MESSAGE_QUEUE_BYTES)
    with contextlib.suppress(OSError):  # a container may have its own idea of it
        Path("/proc/self/oom_score_adj").write_text(str(_OUT_OF_MEMORY_POINTS))


def _lower(which: int, limit: int | None) -> None:
    if limit is None:
        return
    soft, hard = resource.getrlimit(which)
    hard = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(which, (soft, hard))


def _domain(walls: Walls) -> Domain:
    domain = Domain(walls.landlock)
    closed = [path.resolve() for path in walls.closed]
    homes = [] if walls.user is not None else _homes()
    domain.allow_reading(all_but(Path("/"), [*closed, *homes, Path("/dev")]))
    for path in walls.readable:
        domain.allow_reading(all_but(path.resolve(), closed))
    devices = Path("/dev")
    # Where the user is another's, too, so are terminals, with what is typed into them.
    terminals = walls.own_terminals or walls.user is not None
    names = (*_DEVICES, *_TERMINALS) if terminals else _DEVICES
    domain.allow_writing(devices / name for name in names)
    domain.allow_writing(devices.glob(_GPU_DEVICES))
    domain.allow_writing((walls.directory, *walls.writable))
    domain.close_ports(walls.closed_ports, walls.taken_ports)
    return domain


def _homes() -> list[Path]:
    """Return the home directory of the user that this process is, and where HOME points."""
    given = {os.environ.get("HOME")}
    with contextlib.suppress(KeyError):  # a user without an entry has none
        given.add(pwd.getpwuid(os.geteuid()).pw_dir)
    homes = [Path(path).resolve() for path in given if path]
    return [path for path in homes if path != Path("/")]
