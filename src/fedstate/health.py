"""Ask a SuperLink or SuperNode over TLS whether it is well, and an executor by its heartbeat.

Containers ask every few seconds, with ``python -m fedstate.health URL ... CA``, in an executor's
with ``--executor=HEARTBEAT_FILE`` before these: it takes nothing but the standard library, and
with that a fifth of the time of ``fedstate health``. An executor that is beyond its own help is
ended, so that the engine starts its container again.
"""

import http.client
import json
import math
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

SECONDS = 5.0
PATIENCE_SECONDS = 30.0
_MOST_BYTES = 65536


def check_health(
    url: str, root_certificates: Path, warn: Callable[[str], object] = lambda _: None
) -> int:
    """Return the HTTP status of a healthy service.

    Parameters
    ----------
    url : str
        For example ``https://localhost:8000/health``.
    root_certificates : Path
        The authority's ``ca.crt``.
    warn : callable
        Is called with a sentence about each certificate that expires within 30 days: that of the
        service, and that of the authority; and with each problem that the service names.

    Raises
    ------
    FederationError
        If the service is not well, cannot be reached, or is not trusted.
    """
    if not url.startswith("https://"):
        raise FederationError(f"'{url}' is not an https:// address.")
    parts = urlsplit(url)
    context = _trusting(root_certificates)
    try:
        connection = http.client.HTTPSConnection(parts.netloc, timeout=SECONDS, context=context)
        with closing(connection):
            connection.request("GET", parts.path or "/")
            end = _end(connection.sock.getpeercert())
            reply = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        reason = setting_problem(error, f"the server at {parts.netloc}") or error
        raise FederationError(f"{url} is not well: {reason}") from None
    if not reply.status < http.client.BAD_REQUEST:
        raise FederationError(f"{url} is not well: {reply.reason}")
    now, ends = datetime.now(UTC), [_end(each) for each in context.get_ca_certs()]
    for sentence in (
        expires_soon(f"The certificate of {parts.netloc}", end, now),
        expires_soon(f"The authority {root_certificates}", max(ends), now, renew=RENEW_AUTHORITY),
    ):
        if sentence is not None:
            warn(sentence)
    for problem in _problems(reply):
        warn(problem)
    return reply.status


def _trusting(root_certificates: Path) -> ssl.SSLContext:
    """Return a context that trusts an authority.

    Raises
    ------
    FederationError
        If the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=str(root_certificates))
    except ssl.SSLError:
        problem = "hold no PEM certificate"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    raise FederationError(
        f"The root certificates {root_certificates} {problem}: give the authority's ca.crt."
    )


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
        if time.time() - last > PATIENCE_SECONDS:
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
