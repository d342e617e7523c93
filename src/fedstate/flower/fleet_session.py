"""A node's connection to a SuperLink's Fleet API, and its session there."""

import ssl
from types import TracebackType
from typing import Self

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

# The shortest interval of heartbeats that a SuperLink takes, and how many it waits for.
from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, HEARTBEAT_PATIENCE

# The Fleet API's wire format, its client and what signs its requests: flwr exports none of it.
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

# What flwr does about requests that fail.
from flwr.supercore.retry import RetryInvoker, exponential, make_simple_http_retry_invoker
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedstate.exchange.client import ExtraRoutes
from fedstate.flower.refusals import is_registered_already, own_errors

KeyPair = tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey]

HEARTBEAT_SECONDS = float(HEARTBEAT_MIN_INTERVAL)
# How long after its last heartbeat a SuperLink counts a node as online.
PATIENCE_SECONDS = HEARTBEAT_PATIENCE * HEARTBEAT_SECONDS

# flwr waits up to 20 s between tries, and a SuperLink that was restarted is back sooner.
RETRY_SECONDS = 5.0
# Both sides close an idle connection after 5 s. A pull that meets this moment breaks, and nobody
# knows whether a message was on its way.
_IDLE_SECONDS = 2.0


class FleetSession:
    """One node's connection to a SuperLink, and its session there; for every thread.

    Every method raises `UnreachableError` when no answer can be had, `RefusedError` when the
    answer is an error, and `UnauthorizedError` when the node's key is not accepted.

    Parameters
    ----------
    address : str
        ``host:port`` of the SuperLink.
    keys : tuple
        The node's private and public key, which sign each request.
    insecure : bool
        Whether to speak HTTP in place of HTTPS.
    root_certificates : bytes, optional
        The authority that vouches for the SuperLink, as PEM; without it, the system's.
    transport : httpx.BaseTransport, optional
        What carries the requests, in place of a connection; for tests.
    retry_seconds : float
        The longest pause between two tries of a request.

    Attributes
    ----------
    node_id : int
        The node's ID at the SuperLink, which goes with each request; 0 before `activate`.
    """

    def __init__(
        self,
        address: str,
        keys: KeyPair,
        *,
        insecure: bool = False,
        root_certificates: bytes | None = None,
        transport: httpx.BaseTransport | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.node_id = 0
        self._public_key = public_key_to_bytes(keys[1])
        self._client = FleetHttpClient(
            f"{'http' if insecure else 'https'}://{address}",
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(*keys),
            ],
            verify=False,  # this connection is closed unused
        )
        ours = httpx.Client(
            verify=not insecure and _authority(root_certificates),
            timeout=self._client._client.timeout,  # noqa: SLF001
            follow_redirects=True,
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
            transport=transport,
        )
        self._client._client.close()  # noqa: SLF001
        self._client._client = ours  # noqa: SLF001
        self._retry = _retry_invoker(retry_seconds)
        self._routes = ExtraRoutes(self._client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return this client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    @property
    def _node(self) -> Node:
        return Node(node_id=self.node_id)

    def register(self) -> None:
        """Register the node's key, unless it is registered."""
        with own_errors():
            try:
                self._client.RegisterNode(RegisterNodeFleetRequest(public_key=self._public_key))
            except httpx.HTTPStatusError as error:
                if not is_registered_already(error):
                    raise

    def activate(self) -> int:
        """Ask to be admitted; return the node's ID, under which all other requests are made."""
        request = ActivateNodeRequest(
            public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS
        )
        with own_errors():
            self.node_id = int(self._client.ActivateNode(request).node_id)
        # Another server may answer now, with other routes.
        self._routes.forget()
        return self.node_id

    def deactivate(self) -> None:
        """Say that the node goes offline."""
        with own_errors():
            self._client.DeactivateNode(DeactivateNodeRequest(node_id=self.node_id))

    def heartbeat(self) -> bool:
        """Say that the node is online; return whether the SuperLink knows the node."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
        with own_errors():
            return bool(self._client.SendNodeHeartbeat(request).success)


def _authority(root_certificates: bytes | None) -> ssl.SSLContext | bool:
    if root_certificates is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root_certificates.decode("ascii"))
    return context


def _retry_invoker(longest_seconds: float) -> RetryInvoker:
    """Return flwr's policy for requests that fail, with shorter pauses and an honest end.

    When the SuperLink does not accept the node any longer, flwr's policy interrupts the process,
    which then ends as if it had been asked to; here that is an error like any other.
    """
    invoker = make_simple_http_retry_invoker()
    theirs = invoker.should_giveup

    def should_give_up(error: Exception) -> bool:
        unauthorized = httpx.codes.UNAUTHORIZED
        if (
            isinstance(error, httpx.HTTPStatusError)
            and error.response.status_code == unauthorized
        ):
            return True
        return theirs is not None and theirs(error)

    invoker.should_giveup = should_give_up
    invoker.wait_gen_factory = lambda: exponential(
        base_delay=min(1.0, longest_seconds),
        max_delay=longest_seconds,  # type: ignore[arg-type]  # flwr declares whole seconds
    )
    return invoker
