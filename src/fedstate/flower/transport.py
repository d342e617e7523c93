"""How our clients of flwr's APIs connect: with which authority, and what they try again.

flwr's clients take an authority as bytes, once; ours follow its file. flwr's policy of retries
gives up whatever has "ssl", "tls" or "certificate" in its message, and with it a connection that
broke during a handshake.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies

import httpx

# The base of flwr's clients, whose constructor takes what carries its requests.
from flwr.supercore.protobuf.client import ProtobufClient

# What flwr does about requests that fail.
from flwr.supercore.retry import (
    RetryInvoker,
    RetryState,
    exponential,
    make_simple_http_retry_invoker,
)

from fedstate.http_transport import IDLE_SECONDS, to_address, to_socket
from fedstate.logs import logger
from fedstate.tls.contexts import client_context
from fedstate.tls.problems import is_broken, setting_problem

Client = TypeVar("Client", bound=ProtobufClient)

# Of a request that has not left: a server that is restarted is none of these.
_HANDSHAKE_TRIES = 4
_HANDSHAKE_SECONDS = 0.1
# What the requests over a Unix socket name as their host.
_SOCKET_URL = "http://localhost"


def connected(
    kind: type[Client],
    address: str,
    *,
    insecure: bool,
    root_certificates: Path | str | None,
    interceptors: Sequence[Any],
    retries: RetryInvoker | None = None,
    socket: Path | str | None = None,
) -> Client:
    """Return a client of flwr's that follows the file of its authority.

    Parameters
    ----------
    kind
        The client's class.
    address
        ``host:port`` of the server.
    insecure
        Whether to speak HTTP in place of HTTPS.
    root_certificates
        The file of the authority that vouches for the server; without it, the system's.
    interceptors
        What shows the server who asks.
    retries
        What is done about requests that fail; without it, nothing.
    socket
        The Unix socket on which the server is reached, in place of its address.

    Raises
    ------
    CertificateError
        If the file holds no certificate, or cannot be read.
    """
    client = kind(
        _SOCKET_URL if socket else f"{'http' if insecure else 'https'}://{address}",
        interceptors=interceptors,
        verify=False,  # what it makes of this is replaced before it has connected
        retry_invoker=retries,
    )
    carry(
        client,
        trust(root_certificates, insecure=insecure or socket is not None),
        None if socket is None else to_socket(Path(socket)),
    )
    return client


def carry(
    client: ProtobufClient,
    trusted: ssl.SSLContext | bool,
    carrier: httpx.BaseTransport | None = None,
    idle_seconds: float = IDLE_SECONDS,
) -> None:
    """Let a client of flwr's send its requests our way; it has no option for it.

    Parameters
    ----------
    client
        The client, which has not connected yet.
    trusted
        Whom it is to trust, as `trust` returns it.
    carrier
        What carries its requests; without it, connections to the address in their URL.
    idle_seconds
        For how long a connection that nobody uses is kept.
    """
    # httpx knows how to go through proxies, and which hosts need none.
    if carrier is None and not getproxies():
        context = httpx.create_ssl_context() if trusted is True else trusted or None
        carrier = to_address(context, idle_seconds)
    theirs = client._client  # noqa: SLF001
    client._client = httpx.Client(  # noqa: SLF001
        verify=trusted,
        timeout=theirs.timeout,
        follow_redirects=True,
        limits=httpx.Limits(keepalive_expiry=idle_seconds),
        transport=carrier,
    )
    theirs.close()


def trust(
    root_certificates: Path | str | None, *, insecure: bool = False, warns: bool = False
) -> ssl.SSLContext | bool:
    """Return whom an HTTP client is to trust: its option ``verify``."""
    if insecure or root_certificates is None:
        return not insecure
    return client_context(root_certificates, warns=warns)


def is_unauthorized(error: BaseException) -> bool:
    """Return whether an error says that the server did not accept the request's credential."""
    return (
        isinstance(error, httpx.HTTPStatusError)
        and error.response.status_code == httpx.codes.UNAUTHORIZED
    )


def retry_policy() -> RetryInvoker:
    """Return flwr's policy for requests that fail, which tries broken connections again.

    A wrong setting is final at the first request. Later, it was right before: somebody is about
    to change certificates, or will have to, and a step need not fail for that.
    """
    policy = make_simple_http_retry_invoker()
    their_end, their_success = policy.should_giveup, policy.on_success
    worked = said = False

    def succeeded(state: RetryState) -> None:
        nonlocal worked, said
        worked, said = True, False
        if their_success is not None:
            their_success(state)

    def is_final(error: Exception) -> bool:
        nonlocal said
        if not isinstance(error, httpx.TransportError):
            return their_end is not None and their_end(error)
        problem = setting_problem(error, f"the server at {error.request.url.netloc.decode()}")
        if problem is None:
            return False
        if not said:
            said = True
            (logger.warning if worked else logger.error)("%s", problem)
        return not worked

    policy.should_giveup = is_final
    policy.on_success = succeeded
    return policy


def handshake_policy() -> RetryInvoker:
    """Return a policy by which nothing but a handshake that broke is tried again, for a moment.

    It is for requests of which some must not be made twice: none of these has left.
    """
    return RetryInvoker(
        lambda: exponential(base_delay=_HANDSHAKE_SECONDS),
        httpx.ConnectError,
        max_tries=_HANDSHAKE_TRIES,
        max_time=None,
        should_giveup=lambda error: not is_broken(error),
    )
