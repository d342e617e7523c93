"""Ask a SuperLink or SuperNode whether it is well, and an executor by its heartbeat.

A port is asked over TLS, a Unix socket, which is named ``unix:PATH``, without it.

Containers ask every few seconds, with ``python -m fedstate.health URL ... CA``, in an executor's
with ``--executor=HEARTBEAT_FILE`` before these: it takes nothing but the standard library, and
with that a fifth of the time of ``fedstate health``. An executor that is beyond its own help is
ended, so that the engine starts its container again.
"""

import http.client
import json
import math
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fedstate.errors import FederationError, FedstateError
from fedstate.executor.heartbeat import check_executor
from fedstate.tls.expiry import RENEW_AUTHORITY, expires_soon
from fedstate.tls.problems import setting_problem
from fedstate.unix_sockets import connect

SECONDS = 5.0
SOCKET_SCHEME = "unix:"
PATIENCE_SECONDS = 30.0
# What OpenSSL says of a certificate whose authority is none of those that are trusted: it is not
# there (2, 20, 21), signs itself (18, 19), or has the same name and another key (7).
_OTHER_AUTHORITY = {2, 7, 18, 19, 20, 21}


class UntrustedError(FederationError):
    """What listens shows a certificate of another authority."""


_MOST_BYTES = 65536


def check_health(
    address: str, root_certificates: Path | None, warn: Callable[[str], object] = lambda _: None
) -> int:
    """Return the HTTP status of a healthy service.

    Parameters
    ----------
    address : str
        For example ``127.0.0.1:8000``, ``https://localhost:8000/health``, or ``unix:PATH``.
    root_certificates : Path, optional
        The authority's ``ca.crt``; a Unix socket needs none.
    warn : callable
        Is called with a sentence about each certificate that expires within 30 days: that of the
        service, and that of the authority; and with each problem that the service names.

    Raises
    ------
    UntrustedError
        If its certificate is of another authority.
    FederationError
        If the service is not well or cannot be reached; the message says what is wrong.
    """
    if address.startswith(SOCKET_SCHEME):
        return _check_socket(address, warn)
    server, path = parts_of(address)
    if root_certificates is None:
        raise FederationError(f"No authority is given for {address}: give its ca.crt.")
    context = _trusting(root_certificates)
    try:
        connection = http.client.HTTPSConnection(server, timeout=SECONDS, context=context)
        with closing(connection):
            connection.request("GET", path)
            end = _end(connection.sock.getpeercert())
            reply = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        kind = UntrustedError if _of_another_authority(error) else FederationError
        raise kind(f"{address} is not well: {_reason(error, server)}") from None
    _check_reply(address, reply)
    now, ends = datetime.now(UTC), [_end(each) for each in context.get_ca_certs()]
    for sentence in (
        expires_soon(f"The certificate of {server}", end, now),
        expires_soon(f"The authority {root_certificates}", max(ends), now, renew=RENEW_AUTHORITY),
    ):
        if sentence is not None:
            warn(sentence)
    for problem in _problems(reply):
        warn(problem)
    return reply.status


def _check_socket(address: str, warn: Callable[[str], object]) -> int:
    try:
        with closing(_SocketConnection(Path(address.removeprefix(SOCKET_SCHEME)))) as connection:
            connection.request("GET", "/health")
            reply = connection.getresponse()
            _check_reply(address, reply)
            for problem in _problems(reply):
                warn(problem)
            return reply.status
    except (OSError, http.client.HTTPException) as error:
        raise FederationError(f"{address} is not well: {_reason(error, address)}") from None


class _SocketConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path, SECONDS)


def _check_reply(address: str, reply: http.client.HTTPResponse) -> None:
    if not reply.status < http.client.BAD_REQUEST:
        hint = (
            ": what listens there is no SuperLink or SuperNode"
            if reply.status < http.client.INTERNAL_SERVER_ERROR
            else ""
        )
        raise FederationError(
            f"{address} is not well: it answers {reply.status} {reply.reason}{hint}."
        )


def parts_of(address: str) -> tuple[str, str]:
    """Return the server, as host:port, and the path that is asked there.

    Raises
    ------
    FederationError
        It is not an address.
    """
    url = address if "://" in address else f"https://{address}"
    parts = urlsplit(url)
    try:
        known = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        known = False
    if not known or (parts.port is None and "://" not in address):
        raise FederationError(
            f"'{address}' is not an address: give HOST:PORT, such as 127.0.0.1:8000, or an "
            "https:// URL."
        )
    return parts.netloc, parts.path.rstrip("/") or "/health"


def _trusting(root_certificates: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(root_certificates))
    except ssl.SSLError:
        problem = "hold no PEM certificate"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    raise FederationError(
        f"The root certificates {root_certificates} {problem}: give the authority's ca.crt."
    )


def _of_another_authority(error: BaseException) -> bool:
    return (
        isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OTHER_AUTHORITY
    )


def _reason(error: Exception, server: str) -> str:
    """Return in a clause, or a sentence, what is wrong."""
    if (problem := setting_problem(error, f"the server at {server}")) is not None:
        return problem
    match error:
        case FileNotFoundError():
            return "there is no such socket."
        case ConnectionRefusedError():
            return "nothing listens there (connection refused)."
        case TimeoutError():
            return f"it has not answered within {SECONDS:.0f} s."
        case socket.gaierror():
            return f"its name is not known here ({error.strerror})."
        case http.client.HTTPException():
            return f"what listens there does not speak HTTP ({error or type(error).__name__})."
        case _:
            return f"{error}."


def _problems(reply: http.client.HTTPResponse) -> list[str]:
    """Return what a service that is well says is wrong with it."""
    try:
        said = json.loads(reply.read(_MOST_BYTES))
        return [str(each) for each in said.get("problems", [])]
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return []


def _end(certificate: Any) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def check_patiently(
    url: str,
    root_certificates: Path,
    answered: Path,
    warn: Callable[[str], object] = lambda _: None,
) -> None:
    """Make sure that a service has been healthy lately.

    Whoever uses a service is not unwell when that is started again, which takes some seconds.

    Parameters
    ----------
    url, root_certificates, warn
        As for `check_health`.
    answered
        A file that is written when the service was healthy.

    Raises
    ------
    FederationError
        If it has not been for half a minute.
    """
    try:
        check_health(url, root_certificates, warn)
    except FederationError:
        last = answered.stat().st_mtime if answered.exists() else -math.inf
        # One that is still to come is of a clock that was set back meanwhile.
        if not 0 <= time.time() - last <= PATIENCE_SECONDS:
            raise
    else:
        answered.touch()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    try:
        name, _, file = arguments[0].partition("=")
        if name == "--executor":
            _, url, root_certificates = arguments
            check_executor(Path(file), restart=True)
            check_patiently(url, Path(root_certificates), Path(f"{file}.server"), print)
        else:
            *urls, root_certificates = arguments
            for url in urls:
                check_health(url, Path(root_certificates), print)
    except FedstateError as error:
        sys.exit(f"fedstate: {error}")
