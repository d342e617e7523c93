"""uvicorn's server, with several listeners for one application.

A `Server` runs one application, with one lifespan, in one event loop. It ends at a signal or when
``should_exit`` is set, for all of its listeners at once: they stop accepting, requests under way
are finished, then the application's lifespan ends.

Others build on these parts of it:

* ``Server.tls``: the context of all ports, None without TLS. It makes each connection with
  what is in the certificate's files then.
* ``accept``: how a listening socket is turned into connections. It is called with
  ``(factory, sock=, ssl=, backlog=)`` once for each socket, as `loop.create_server` is, and
  returns what has ``close()`` and ``wait_closed()``.
* ``http``, a further option of `uvicorn.Config`: the class of a connection's protocol.
* ``Server.server_state.connections``: the open connections of all listeners.
* ``Server.on_exit``: what is called, in the event loop, when the server begins to end.
"""

import asyncio
import contextlib
import copy
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, Protocol, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from fedstate.errors import FederationError
from fedstate.serving.doors import Doors
from fedstate.tls.contexts import server_context
from fedstate.unix_sockets import BoundSocket, listen

_log = logging.getLogger("uvicorn.error")

_NO_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True)
class Listener:
    """An address that a server listens on, and what it answers there.

    Attributes
    ----------
    name : str
        What messages call it, such as ``Control API``.
    host : str
        A host name or an IP address; a name that has several addresses stands for all of them,
        and an empty one for every address of this machine.
    port : int
        Its port; 0 is any that is free.
    option : str
        The option that says where it is, such as ``--control``.
    paths : sequence of str
        Beginnings of the paths that are answered here; empty if all are.
    """

    name: str
    host: str
    port: int
    option: str = "--port"
    paths: Sequence[str] = ()

    @property
    def address(self) -> str:
        """Where it listens, as ``HOST:PORT``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class SocketListener:
    """A Unix socket that a server listens on, without TLS: nobody is between its ends.

    Attributes
    ----------
    name : str
        What messages call it, such as ``Runtime API``.
    path : Path
        Its file. Who may pass the file's directory may connect.
    paths : sequence of str
        As those of a `Listener`.
    """

    name: str
    path: Path
    paths: Sequence[str] = ()

    @property
    def address(self) -> str:
        """Where it listens, as ``unix:PATH``."""
        return f"unix:{self.path}"


@dataclass(frozen=True)
class Certificate:
    """The files of a server's certificate, of its private key, and of its authority.

    The authority's certificate is nothing but watched for its end.
    """

    certificate_file: str | Path
    key_file: str | Path
    authority_file: str | Path | None = None


class Accepting(Protocol):
    """What accepts a socket's connections, as `asyncio.Server` does."""

    def close(self) -> None:
        """Accept no more; connections that are open stay."""

    async def wait_closed(self) -> None:
        """Wait until it is closed."""


Accept = Callable[..., Awaitable[Accepting]]


class Server(uvicorn.Server):
    """A server of one application on several listeners.

    Parameters
    ----------
    app : ASGI application
        The application.
    listeners : sequence of Listener and SocketListener
        Where it is served.
    certificate : Certificate, optional
        For TLS on its ports; without it the server speaks plain HTTP there, too.
    accept : callable, optional
        How connections are accepted; without it, as asyncio does.
    **options
        Further options of `uvicorn.Config`.
    """

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[Listener | SocketListener],
        *,
        certificate: Certificate | None = None,
        accept: Accept | None = None,
        **options: Any,
    ) -> None:
        # Whoever connects could say by a header that it is somebody else. Behind a proxy, whose
        # word is wanted, uvicorn's own variable names the proxy.
        options.setdefault("proxy_headers", "FORWARDED_ALLOW_IPS" in os.environ)
        # How a program logs is for the program to say.
        options.setdefault("log_config", None)
        if certificate is not None:
            options["ssl_context_factory"] = lambda *_: server_context(
                certificate.certificate_file, certificate.key_file, certificate.authority_file
            )
        self._should_exit = False
        self._ending: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        super().__init__(uvicorn.Config(cast("Any", app), **options))
        self.server_state = _DatedState(self.config)
        self.on_exit: list[Callable[[], None]] = []
        self.listeners = tuple(listeners)
        self._accept = accept
        self._bound: list[tuple[Listener | SocketListener, socket.socket]] = []
        self._files: list[BoundSocket] = []

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context of the server's TLS; None before `open`, and without TLS."""
        return self.config.ssl if self.config.loaded else None

    def open(self) -> None:
        """Listen on every address, so that whatever prevents it is known before anything starts.

        Connections wait until the application has started. `run` does this if nobody has.

        Raises
        ------
        CertificateError
            If the certificate and its key cannot be used.
        FederationError
            If an address cannot be listened on; the message names the listener.
        """
        if self._bound:
            return
        self.config.load()
        try:
            for listener in self.listeners:
                for sock in self._listen(listener):
                    self._bound.append((listener, sock))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close what `open` has opened, of a server that is not to run."""
        for _, sock in self._bound:
            sock.close()
        self._bound.clear()
        self._remove_files()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, or until ``should_exit`` is set; raises what `open` does."""
        self.open()
        try:
            super().run(sockets)
        finally:
            self._remove_files()

    def _listen(self, listener: Listener | SocketListener) -> list[socket.socket]:
        if isinstance(listener, Listener):
            return _sockets(listener, self.config.backlog)
        bound = listen(listener.path, self.config.backlog, what=listener.name)
        self._files.append(bound)
        return [bound.socket]

    def _remove_files(self) -> None:
        while self._files:
            self._files.pop().close()

    @property
    def should_exit(self) -> bool:
        """Whether the server is to end; any thread, and any handler of a signal, may set it."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        if value and self._ending is not None:
            loop, event = self._ending
            # Else the loop has ended, and the server with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    async def main_loop(self) -> None:
        """Wait until the server is to end; uvicorn looks ten times a second."""
        event = asyncio.Event()
        self._ending = asyncio.get_running_loop(), event
        if not self._should_exit:
            await event.wait()
        for each in self.on_exit:
            each()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Start the application, then accept connections on every listener."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            self.close()
            return
        accept = self._accept or asyncio.get_running_loop().create_server
        self.servers = []
        for listener, sock in self._bound:
            tls = self.tls if isinstance(listener, Listener) else None
            accepting = await accept(
                self._protocol_factory(listener), sock=sock, ssl=tls, backlog=self.config.backlog
            )
            self.servers.append(cast("asyncio.Server", accepting))
            _log.info("%s on %s", listener.name, _url(listener, sock, tls=tls is not None))
        self.started = True

    def _protocol_factory(
        self, listener: Listener | SocketListener
    ) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of each connection to a listener."""
        config = copy.copy(self.config)
        if listener.paths:
            config.loaded_app = Doors(config.loaded_app, listener.paths)
        make = cast("Callable[..., asyncio.Protocol]", config.http_protocol_class)
        return lambda: make(
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )


class _DatedState(ServerState):
    """What all connections share; the headers of each answer have the date of the second."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._config = config
        self._dated = (0, b"")
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of an answer that is made now."""
        now = int(time.time())
        if self._dated[0] != now:
            self._dated = now, formatdate(now, usegmt=True).encode()
        date = [(b"date", self._dated[1])] if self._config.date_header else []
        return date + self._config.encoded_headers

    @default_headers.setter
    def default_headers(self, _: list[tuple[bytes, bytes]]) -> None:
        """Take nothing: uvicorn sets them when the second changes."""


def _url(listener: Listener | SocketListener, sock: socket.socket, *, tls: bool) -> str:
    """Return the URL, or the path, by which a listener is reached: its port may be chosen."""
    if isinstance(listener, SocketListener):
        return listener.address
    host, port = sock.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{'https' if tls else 'http'}://{address}"


def _sockets(listener: Listener, backlog: int) -> list[socket.socket]:
    """Return a listening socket for each address of a listener."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            listener.host or None,
            listener.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        # Each address once: a name can be in /etc/hosts twice.
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sockets.append(_listening(family, address, backlog))
            except OSError as error:
                # A machine may have a name for an address of a family that it does not speak.
                if error.errno not in _NO_FAMILY or len(found) == 1:
                    raise
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
        for sock in sockets:
            sock.close()
        reason = getattr(error, "strerror", None) or error
        raise FederationError(
            f"The {listener.name} cannot be served on {listener.address} ({reason}); free the "
            f"port, or give another address with {listener.option}."
        ) from None
    return sockets


def _listening(family: int, address: Any, backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
