"""flwr's client of the Fleet API: its connection, its signature, and its tries."""

from pathlib import Path

import httpx

# What says which version sends a request; flwr exports it not.
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor

# What flwr does about requests that fail.
from flwr.supercore.retry import RetryInvoker, exponential

# The client, which is no option of anything public.
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedstate.flower import transport
from fedstate.flower.own_key import OwnKey, SigningInterceptor

# Both sides close an idle connection after 5 s. A pull that meets this moment breaks, and nobody
# knows whether a message was on its way: here a connection is closed earlier.
_IDLE_SECONDS = 2.0


def fleet_client(
    address: str,
    own_key: OwnKey,
    *,
    insecure: bool,
    root_certificates: Path | None,
    carrier: httpx.BaseTransport | None,
    signed_bodies: frozenset[str] = frozenset(),
) -> FleetHttpClient:
    """Return flwr's client for a node; see `fedstate.flower.clients.FleetApi`."""
    client = FleetHttpClient(
        f"{'http' if insecure else 'https'}://{address}",
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            SigningInterceptor(own_key, signed_bodies),
        ],
        verify=False,  # what it makes of this is replaced before it has connected
    )
    theirs = client._client  # noqa: SLF001  # flwr has no option for what carries the requests
    client._client = httpx.Client(  # noqa: SLF001
        verify=transport.trust(root_certificates, insecure=insecure, warns=True),
        timeout=theirs.timeout,
        follow_redirects=True,
        limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
        transport=carrier,
    )
    theirs.close()
    return client


def retry_policy(longest_seconds: float) -> RetryInvoker:
    """Return flwr's policy for requests that fail, with shorter pauses and an honest end.

    When the SuperLink does not accept the node any longer, flwr's policy interrupts the process,
    which then ends as if it had been asked to; here that is an error like any other.
    """
    policy = transport.retry_policy()
    theirs = policy.should_giveup

    def is_final(error: Exception) -> bool:
        return transport.is_unauthorized(error) or (theirs is not None and theirs(error))

    policy.should_giveup = is_final
    policy.wait_gen_factory = lambda: exponential(
        base_delay=min(1.0, longest_seconds),
        max_delay=longest_seconds,  # type: ignore[arg-type]  # flwr declares whole seconds
    )
    return policy
