"""One door of a server, and asking there for one thing after another."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedstate.local.process import Process
from tests.stack.doors.routes import Route, routes_of
from tests.stack.doors.wire import CLOSED, HOST, SECONDS, Answer, Headers, Wire, head


class Session:
    """Requests over one connection, or another where the server has closed it."""

    def __init__(self, door: "Door") -> None:
        self._door = door
        self._wire: Wire | None = None

    def ask(
        self,
        path: str,
        headers: Headers = (),
        body: bytes = b"",
        method: str = "POST",
        seconds: float = SECONDS,
    ) -> Answer:
        """Send a request; return its answer's status. The answer's body is in `body`."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        request = head(method, path, [("Content-Length", str(len(body))), *pairs]) + body
        used = self._wire
        answer: Answer = CLOSED
        for wire in (used, None) if used else (None,):
            self._wire = here = wire or self._door.wire()
            here.send(request)
            answer = here.answer(seconds, method)
            if answer != CLOSED:
                break
            here.close()
        self.body = here.body
        if isinstance(answer, str) or here.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None


@dataclass(frozen=True)
class Door:
    """A listener of a server, with those of its routes that are for one audience.

    Attributes
    ----------
    name
        The audience: control, fleet or runtime of the SuperLink, or node for a SuperNode's.
    port
        Where it listens.
    process
        The server.
    authority
        Who has signed its certificate.
    """

    name: str
    port: int
    process: Process
    authority: Path

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes for its audience."""
        return routes_of(self.name)

    def wire(self, source: str = HOST) -> Wire:
        """Connect with TLS."""
        return Wire(self.port, self.authority, source)

    def plain(self, source: str = HOST) -> Wire:
        """Connect without TLS."""
        return Wire(self.port, None, source)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Ask one thing after another."""
        session = Session(self)
        try:
            yield session
        finally:
            session.close()

    def ask(
        self, path: str, headers: Headers = (), body: bytes = b"", method: str = "POST"
    ) -> Answer:
        """Ask one thing; return the status of the answer."""
        with self.session() as session:
            return session.ask(path, headers, body, method)
