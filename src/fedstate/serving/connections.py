"""The open connections of a server: how many there may be, and which gives way to another.

Each takes a descriptor. A new one is accepted while another can be closed for it: a stranger's,
the longest idle one first, or else any that is idle. So ``/health`` always answers.
"""

import asyncio
import errno
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import cast

from fedstate.serving.limits import Limits
from fedstate.serving.lingering import Lingering
from fedstate.serving.peers import peer_of
from fedstate.serving.reading import Reading, read_buffer

_log = logging.getLogger("uvicorn.error")

# Connections are accepted a few at a time: between them, those that are open are served.
_AT_ONCE = 8
_SWEEP_SECONDS = 0.5
# How long new connections stay in the kernel's queue when no descriptor is left.
_PAUSE_SECONDS = 0.5
# How long a client may take to end TLS when the server closes; it can send as long, unread.
_SHUTDOWN_SECONDS = 2.0
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NO_SOCKET = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
_WARN_SECONDS = 60.0


class Connection:
    """One connection, from its acceptance to its end.

    Attributes
    ----------
    peer : str
        Where it comes from.
    known : bool
        Whether a credential has been verified on it, of somebody who has not too many others.
    who : hashable
        Who is known to be there.
    under_way : int
        How many of its requests are under way.
    since : float
        When it was accepted, or when the last of its requests ended.
    """

    def __init__(self, connections: "Connections", peer: str, now: float) -> None:
        self._connections = connections
        self.peer = peer
        self.known = False
        self.who: Hashable = None
        self.under_way = 0
        self.since = now
        self._close: Callable[[], object] = lambda: None

    @property
    def limits(self) -> Limits:
        """The limits of the server."""
        return self._connections.limits

    def closed_by(self, close: Callable[[], object]) -> None:
        """Say how this connection is closed."""
        self._close = close

    def begin(self) -> None:
        """Note that the headers of a request are there."""
        self.under_way += 1
        self._connections.note(self)

    def end(self) -> None:
        """Note that a request has been answered."""
        self.under_way -= 1
        self._connections.note(self)

    def verified(self, who: Hashable) -> None:
        """Note that whoever is there has shown a credential; `who` tells one from another."""
        if not self.known and self._connections.may_be_known(self, who):
            self.known, self.who = True, who
            self._connections.note(self)

    def gone(self) -> None:
        """Note that the connection has ended."""
        self._connections.forget(self)

    def linger(self, descriptor: int) -> None:
        """Leave it to the end that its client can still read; the caller closes it."""
        self._connections.lingering.take(descriptor)

    def drop(self) -> None:
        """End the connection at once."""
        self._connections.forget(self)
        self._close()


class Served(asyncio.Protocol):
    """The protocol of a connection, which tells the connection what happens on it."""

    def attach(self, connection: Connection) -> None:
        """Take the connection; called before anything else."""

    def abandon(self) -> None:
        """End it: its transport is closed, or never was, and nothing else tells the protocol."""


class Connections:
    """The connections of all listeners of a server.

    Parameters
    ----------
    limits : Limits
        How many there may be.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.lingering = Lingering()
        self.buffer = read_buffer()
        self._clock = clock
        self._all: set[Connection] = set()
        # Strangers that are idle, the longest idle first, of all and of each peer; and those
        # with a request under way.
        self._idle: dict[Connection, None] = {}
        self._idle_of: dict[str, dict[Connection, None]] = {}
        self._busy: dict[Connection, None] = {}
        # Those that are known and idle, the longest idle first.
        self._resting: dict[Connection, None] = {}
        self._strangers_of: Counter[str] = Counter()
        self._known_of: Counter[Hashable] = Counter()
        self._listening: set[_Listening] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._warned = -_WARN_SECONDS

    def __len__(self) -> int:
        return len(self._all)

    @property
    def strangers(self) -> int:
        """How many connections are strangers'."""
        return len(self._idle) + len(self._busy)

    def admit(self, peer: str) -> Connection | None:
        """Return a new connection, for which another may be closed; None if there is no place.

        There is none when every connection has shown a credential and has a request under way.
        """
        if self._strangers_of[peer] >= self.limits.strangers_of_peer:
            self._drop_stranger(peer)
        elif self.strangers >= self.limits.strangers:
            self._drop_stranger()
        if len(self._all) >= self.limits.connections and not self._drop_any():
            self._warn(
                f"{len(self._all)} connections are open, as many as may be, each with a request "
                "of somebody known; a new one was closed. Raise --max-connections."
            )
            return None
        connection = Connection(self, peer, self._clock())
        self._all.add(connection)
        self._strangers_of[peer] += 1
        self._place(connection)
        return connection

    def note(self, connection: Connection) -> None:
        """Note that something has changed about a connection."""
        if connection not in self._all:
            return
        if not connection.under_way:
            connection.since = self._clock()
        was_stranger = self._displace(connection)
        if was_stranger and connection.known:
            self._uncount(connection.peer)
        self._place(connection)

    def may_be_known(self, connection: Connection, who: Hashable) -> bool:
        """Count a connection for whoever has shown a credential on it; return False if not.

        One that is not counted stays a stranger's: whoever has a credential could take all places
        with it.
        """
        if connection not in self._all or self._known_of[who] >= self.limits.known_of_one:
            return False
        self._known_of[who] += 1
        return True

    def forget(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        if connection in self._all:
            self._all.discard(connection)
            if connection.known:
                self._known_of[connection.who] -= 1
                self._known_of += Counter()  # without those that have none
            if self._displace(connection):
                self._uncount(connection.peer)

    def close_overdue(self) -> None:
        """Close the connections on which no request has begun for too long."""
        oldest = self._clock() - self.limits.head_seconds
        for connection in [c for c in self._all if not c.under_way and c.since < oldest]:
            connection.drop()

    async def accept(
        self,
        factory: Callable[[], asyncio.Protocol],
        *,
        sock: socket.socket,
        ssl: ssl.SSLContext | None,
        backlog: int,
    ) -> "_Listening":
        """Accept the connections to a listening socket, in place of `loop.create_server`.

        The protocols that the factory makes are `Served`.
        """
        sock.listen(backlog)
        sock.setblocking(False)
        listening = _Listening(self, factory, sock, ssl)
        self._listening.add(listening)
        listening.resume()
        if self._sweeping is None:
            self._sweep()
        return listening

    def closed(self, listening: "_Listening") -> None:
        """Note that a socket is listened on no longer."""
        self._listening.discard(listening)
        if not self._listening:
            self.lingering.close()

    def make_room(self) -> None:
        """Close a connection, if any may be: the process has no descriptor left."""
        self._drop_any()
        self._warn(
            f"The process has no descriptor left for a connection, and {len(self._all)} are "
            "open; raise its limit (ulimit -n), or lower --max-connections."
        )

    def _sweep(self) -> None:
        self.close_overdue()
        # Those that are open are still to be closed in time when no more are accepted.
        going = self._listening or self._all
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep) if going else None

    def _drop_stranger(self, peer: str | None = None) -> bool:
        connection = next(self._strangers_in_turn(peer), None)
        if connection is not None:
            connection.drop()
        return connection is not None

    def _drop_any(self) -> bool:
        """Close a stranger's connection, or else an idle one: its owner opens another."""
        if self._drop_stranger():
            return True
        resting = next(iter(self._resting), None)
        if resting is not None:
            resting.drop()
        return resting is not None

    def _strangers_in_turn(self, peer: str | None) -> Iterator[Connection]:
        yield from self._idle if peer is None else self._idle_of.get(peer, ())
        yield from (each for each in self._busy if peer in (None, each.peer))

    def _place(self, connection: Connection) -> None:
        if connection.known:
            if not connection.under_way:
                self._resting[connection] = None
        elif connection.under_way:
            self._busy[connection] = None
        else:
            self._idle[connection] = None
            self._idle_of.setdefault(connection.peer, {})[connection] = None

    def _displace(self, connection: Connection) -> bool:
        """Take a connection from its place; return whether it was a stranger's."""
        self._resting.pop(connection, None)
        if connection in self._busy:
            del self._busy[connection]
            return True
        if connection not in self._idle:
            return False
        del self._idle[connection]
        of_peer = self._idle_of[connection.peer]
        del of_peer[connection]
        if not of_peer:
            del self._idle_of[connection.peer]
        return True

    def _uncount(self, peer: str) -> None:
        self._strangers_of[peer] -= 1
        if not self._strangers_of[peer]:
            del self._strangers_of[peer]

    def _warn(self, sentence: str) -> None:
        now = self._clock()
        if now - self._warned >= _WARN_SECONDS:
            self._warned = now
            _log.warning(sentence)


class _Listening:
    """A listening socket whose connections are accepted."""

    def __init__(
        self,
        connections: Connections,
        factory: Callable[[], asyncio.Protocol],
        sock: socket.socket,
        context: ssl.SSLContext | None,
    ) -> None:
        self._connections = connections
        self._factory = factory
        self._sock = sock
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._closed = False

    def resume(self) -> None:
        """Accept connections from now on."""
        self._paused = None
        if not self._closed:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; connections that are open stay."""
        if self._closed:
            return
        self._closed = True
        if self._paused is not None:
            self._paused.cancel()
        else:
            self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        self._connections.closed(self)
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is being opened any longer."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except OSError as error:
                if error.errno in _NO_SOCKET:
                    raise
                if error.errno not in _NO_DESCRIPTORS:
                    return  # nobody is waiting, or who was is gone
                self._connections.make_room()
                self._loop.remove_reader(self._sock.fileno())
                self._paused = self._loop.call_later(_PAUSE_SECONDS, self.resume)
                return
            connection = self._connections.admit(peer_of(sock, address))
            if connection is None:
                sock.close()
                continue
            task = self._loop.create_task(self._open(connection, sock))
            connection.closed_by(task.cancel)
            self._opening.add(task)
            task.add_done_callback(partial(self._opened, sock))

    def _opened(self, sock: socket.socket, task: "asyncio.Task[None]") -> None:
        self._opening.discard(task)
        if task.cancelled():  # before it had begun, so that it could not close anything
            sock.close()

    async def _open(self, connection: Connection, sock: socket.socket) -> None:
        protocol = cast("Served", self._factory())
        protocol.attach(connection)

        seconds = self._connections.limits.handshake_seconds if self._context else None
        shutdown = _SHUTDOWN_SECONDS if self._context else None
        try:
            sock.setblocking(False)
            await self._loop.connect_accepted_socket(
                lambda: Reading(protocol, self._connections.buffer),
                sock,
                ssl=self._context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=shutdown,
            )
        except (OSError, asyncio.CancelledError):
            # Whoever it was is gone (ssl's errors are of the system's, too), or is to go: by
            # `drop`, or at the server's end.
            protocol.abandon()
            sock.close()
