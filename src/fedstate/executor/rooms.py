"""The rooms of the runs that this executor has tasks of: made, looked after, and cleared away."""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedstate.errors import SettingError
from fedstate.executor import worker
from fedstate.executor.authority import FollowedAuthority
from fedstate.executor.deletions import Deletions
from fedstate.executor.output import PREFIX, Output, pipe_of
from fedstate.executor.plan import RoomPlan
from fedstate.executor.room_client import Room, RoomClient
from fedstate.executor.room_settings import NONE, REQUIRE, RoomSettings
from fedstate.executor.run_outputs import RunOutputs
from fedstate.executor.task import Task
from fedstate.executor.warmth import KnownImports, Warmth
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.forking.channel import MalformedMessageError
from fedstate.forking.supervisor import ForeignProcessError, ForkedChild, ForkServer
from fedstate.logs import logger
from fedstate.process_table import Process
from fedstate.records import runs_directory
from fedstate.unix_sockets import OPTION
from fedstate.walls import (
    Offered,
    RunLimits,
    Walls,
    default_limits,
    directories,
    environment_paths,
    mounts,
    offered,
    processes,
)
from fedstate.walls.users import free_user, owners

# What one executor after the other may call its directory, where it was not told.
_MOST_EXECUTORS = 64
_LOCK = ".lock"
_RECORDS_MODE = 0o2750
_DELETE_SECONDS = 3.0


class Rooms:
    """All rooms of one executor.

    Parameters
    ----------
    settings
        What the executor's options say.
    address
        ``host:port`` of the Runtime API that the tasks come from.
    root_certificates
        File with its certificate authority.
    entry
        The module whose ``run`` each task's process calls.
    clock
        Seconds that only grow.

    Raises
    ------
    SettingError
        If the rooms' directory cannot be used, or not all walls are there that are required, or
        the runs cannot reach the server's socket.
    """

    def __init__(
        self,
        settings: RoomSettings,
        address: str,
        root_certificates: str | None = None,
        *,
        entry: str = worker.__name__,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._entry = entry
        self._clock = clock
        self._taken_ports = _taken_ports(address)
        self.all: dict[int, Room] = {}
        self._known = KnownImports()
        self._authority = FollowedAuthority(root_certificates)
        self.directory, self._lock = _own_directory(settings.directory, address)
        self.offered = Offered(0, "--walls none was given")
        if settings.walls != NONE:
            self.offered = offered(self.directory)
        self._socket = _within_reach(settings.socket, users=self.offered.users)
        missing = self.offered.missing()
        if missing is not None and settings.walls == REQUIRE:
            raise SettingError(f"--walls is 'require', and not all can be had: {missing}")
        if missing is not None:
            logger.warning("Not everything keeps runs apart here. %s", missing)
        self._outputs = RunOutputs(settings.output)
        self._deletions = Deletions()
        self._ending: list[ForkedChild] = []
        self.limits = _limits(settings.limits, self.directory)
        self._sweep()

    def run_ids(self) -> list[int]:
        """Return the runs that have rooms, or output without an end; for other threads, too."""
        return [*{*self.all, *self._outputs.without_end}]

    def room_for(self, order: TaskOrder, server: ForkServer | None) -> Room:
        """Return the room of a task's run, which is made if there is none.

        Parameters
        ----------
        order
            The task.
        server
            The fork server that its process is to be a fork of, if it is to have one.

        Raises
        ------
        OSError
            Its directories cannot be made.
        """
        room = self.all.get(order.run_id)
        if room is None:
            plan = self._plan(order)
            warmth = Warmth(self._known, order.fab_hash)
            room = Room(order.run_id, plan, warmth=warmth)
            self.all[order.run_id] = room
            try:
                room.printed = self._outputs.printed(order)
                room.output = Output(plan.directory, room.printed, user=room.user)
            except OSError:
                self.close(room)
                raise
        if server is not None and (room.client is None or not room.client.alive):
            self.begin(room, server)
        room.used = self._clock()
        return room

    def begin(self, room: Room, server: ForkServer) -> None:
        """Start the process of a room."""
        room.client = RoomClient(server, room.plan, self._entry, bare=room.warmth.bare)
        room.warmth.began()
        # What is known by now it imports before it forks: the task that is waiting would import
        # the same.
        if (report := room.warmth.wanted()) is not None:
            room.client.import_modules(report)

    def idle(self, busy: Collection[Room]) -> list[Room]:
        """Return the rooms that had no task for so long that their runs must have ended."""
        now = self._clock()
        return [
            room
            for room in self.all.values()
            if room not in busy and now - room.used > self._settings.idle_seconds
        ]

    def close(self, room: Room) -> None:
        """Kill every process of a run, and have what it has here deleted."""
        self.all.pop(room.run_id, None)
        self.end_client(room, room.client)
        if room.output is not None:
            room.output.close(run_ended=room.ended)
        self._outputs.closed(room.run_id, ended=room.ended)
        self._deletions.begin(room.plan.directory, room.user)

    def end_output(self, run_id: int) -> None:
        """Note that a run without a room has ended, of whose output nobody has noted that."""
        self._outputs.end(run_id)

    def end_client(self, room: Room, client: RoomClient | None) -> None:
        """Kill the process of a room, and everything of its run."""
        room.kill_all(client)
        if client is not None:
            if client.child is not None:
                self._ending.append(client.child)
            self.clear_orphans(client.server)

    def close_all(self) -> None:
        """Close every room, and let the rooms' directory go."""
        for room in list(self.all.values()):
            self.close(room)
        self._deletions.finish(_DELETE_SECONDS)
        if self._settings.directory is None:
            with contextlib.suppress(OSError):  # what could not be deleted is for the next one
                (self.directory / _LOCK).unlink()
                self.directory.rmdir()
        self._lock.close()

    def tidy(self) -> None:
        """Go on with the deletions under way, and take note of rooms' processes that have ended.

        Until then a descriptor is held for each of them.
        """
        self._ending = [child for child in self._ending if child.poll() is None]
        self._deletions.poll()

    def follow_authority(self, tasks: Collection[Task]) -> None:
        """Bring the server's authority into every room, if its file has changed.

        A process in the room writes it: nobody else may, where runs have users of their own.
        """
        if not self._authority.changed():
            return
        certificate = self._authority.content or ""
        for room in self.all.values():
            room.plan = replace(room.plan, certificate=certificate)
            if room.client is not None:
                room.client.bring_certificate(certificate)
        for task in tasks:
            if task.room is not None and task.room.client is None:
                task.channel.send({"certificate": certificate})

    def clear_orphans(self, server: ForkServer) -> None:
        """Kill what is left of rooms whose process has ended: the fork server is its parent."""
        clients = [room.client for room in self.all.values() if room.client is not None]
        if any(client.alive and client.child is None for client in clients):
            return  # one of its children is a room that has not said so yet
        rooms = {client.child.pid for client in clients if client.child is not None}

        def orphans() -> list[Process]:
            table = processes.all_processes()
            found: list[Process] = []
            for process in [each for each in table.values() if each.parent == server.pid]:
                if process.pid not in rooms:
                    found += [process, *processes.descendants(process.pid, table)]
            return found

        if server.alive:
            processes.kill_all(orphans)

    def listen(self, room: Room) -> None:
        """Take in what the process of a room has said; one that is not to be believed ends."""
        client = room.client
        if client is None or not client.alive:
            return
        try:
            client.listen()
        except (MalformedMessageError, ForeignProcessError) as error:
            client.failure = f"The process of the run's room sent {error}, and was ended."
            client.channel.ended = True

    def _plan(self, order: TaskOrder) -> RoomPlan:
        directory = self.directory / str(order.run_id)
        user = None
        if self.offered.users:
            user = free_user(self.directory, [each.user or 0 for each in self.all.values()])
        directories.create(directory, user)
        work, writable = directory / "work", self._settings.writable
        if order.kind != TaskKind.CLIENT_APP:
            work = _records(order.run_id, user)
            writable = (*writable, work)
        walls = None
        if self._settings.walls != NONE:
            walls = Walls(
                directory,
                user=user,
                limits=self.limits,
                landlock=self.offered.landlock,
                closed=(
                    self.directory,
                    runs_directory().absolute(),
                    *self._outputs.closed_directories,
                    *self._settings.closed_directories,
                ),
                readable=(*environment_paths(), *_working(), *self._settings.readable),
                writable=(*writable, pipe_of(directory)),
                closed_ports=self._settings.closed_ports,
                taken_ports=self._taken_ports,
                passage=None if self._socket is None else self._socket.parent,
                own_memory=self.offered.own_memory,
            )
        return RoomPlan(
            directory,
            order.fab_hash,
            work,
            walls,
            self.limits,
            self._authority.content,
            self._socket,
        )

    def _sweep(self) -> None:
        """Clear away what an executor has left that was killed."""
        for pipe in self.directory.glob(f"{PREFIX}*"):
            pipe.unlink()
        for directory, user in owners(self.directory).items():
            own = user == os.geteuid()
            if not own:
                processes.kill_user(user)
            self._deletions.begin(directory, None if own else user)


def _taken_ports(address: str) -> tuple[int, ...]:
    """Return the port of a server on this machine, where an app could listen in its place."""
    host, _, port = address.rpartition(":")
    here = host in ("localhost", "[::1]") or host.startswith("127.")
    return (int(port),) if here and port.isdecimal() else ()


def _within_reach(socket: Path | None, *, users: bool) -> Path | None:
    """Return the server's socket by a path without links."""
    if socket is None:
        return None
    directory = socket.parent.resolve()
    if users and mounts.may_mount() and directory.is_relative_to(mounts.SHARED_MEMORY):
        raise SettingError(
            f"{OPTION} is '{socket}', and each run has a {mounts.SHARED_MEMORY} of its own: "
            "choose a directory elsewhere, for the whole federation if this is a local one."
        )
    if users and not directory.stat().st_mode & stat.S_IXOTH:
        raise SettingError(
            f"{OPTION} is '{socket}', and the runs, each of which has a user of its own, may not "
            f"pass its directory: `chmod o+x '{directory}'`; those above it may stay closed."
        )
    return directory / socket.name


def _working() -> tuple[Path, ...]:
    """Return this process's working directory, which a run may read if it is in a home."""
    here = Path.cwd()
    return () if here in (Path.home(), *Path.home().parents) else (here,)


def _limits(given: dict[str, int], directory: Path) -> RunLimits:
    default = default_limits(directory).to_json()
    return RunLimits(**{**default, **given})


def _records(run_id: int, user: int | None) -> Path:
    """Make the directory of a run's records, where its ServerApp starts and which is kept."""
    place = runs_directory() / str(run_id)
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # another executor's run had it before
        place.chmod(_RECORDS_MODE)
    if user is not None:
        os.chown(place, user, os.getegid())
        # The run's user has to pass here, which it need not where one user has all records.
        with contextlib.suppress(PermissionError):
            place.parent.chmod(stat.S_IMODE(place.parent.stat().st_mode) | stat.S_IXOTH)
    return place.resolve()


def _own_directory(given: Path | None, address: str) -> tuple[Path, Any]:
    """Return a directory for rooms that no other executor uses, and the lock that says so."""
    if given is not None:
        path = directories.prepare_rooms(given.expanduser().absolute())
        if (lock := _lock(path)) is None:
            raise SettingError(
                f"--rooms is {path}, which another executor uses: give each a directory of its "
                "own."
            )
        return path, lock
    name = hashlib.sha256(f"{address} {os.geteuid()}".encode()).hexdigest()[:8]
    for number in range(_MOST_EXECUTORS):
        path = Path(tempfile.gettempdir()) / f"fedstate-rooms-{name}-{number}"
        path = directories.prepare_rooms(path)
        if (lock := _lock(path)) is not None:
            return path, lock
    raise SettingError(
        f"{_MOST_EXECUTORS} executors use directories like {path}: stop some, or give this one "
        "another directory with --rooms."
    )


def _lock(path: Path) -> Any:
    # Of this user alone: whoever can open it can hold it when this executor is started again.
    file = os.fdopen(os.open(path / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
    try:
        os.fchmod(file.fileno(), 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have removed the file meanwhile.
        if not os.path.samestat(os.fstat(file.fileno()), (path / _LOCK).stat()):
            raise OSError(path)
    except OSError:
        file.close()
        return None
    return file
