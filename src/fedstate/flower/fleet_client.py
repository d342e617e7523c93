"""flwr's client of the Fleet API: its connection, its signature, and its tries."""

import threading
import time
from pathlib import Path

import httpx

# What says which version sends a request; flwr exports it not.
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor

# What flwr does about requests that fail.
from flwr.supercore.retry import RetryInvoker, exponential

# The client, which is no option of anything public.
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedstate.flower import transport
from fedstate.flower.clocks import seconds_ahead
from fedstate.flower.own_key import DATE_SECONDS, OwnKey, SigningInterceptor

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
    longest_seconds: float = DATE_SECONDS,
    signed_bodies: frozenset[str] = frozenset(),
) -> FleetHttpClient:
    """Return flwr's client for a node; see `fedstate.flower.clients.FleetApi`.

    `longest_seconds` is the longest pause before a request is made again.
    """
    client = FleetHttpClient(
        f"{'http' if insecure else 'https'}://{address}",
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            SigningInterceptor(own_key, signed_bodies, min(longest_seconds, DATE_SECONDS)),
        ],
        verify=False,  # what it makes of this is replaced before it has connected
    )
    trusted = transport.trust(root_certificates, insecure=insecure, warns=True)
    transport.carry(client, trusted, carrier, _IDLE_SECONDS)
    return client


def retry_policy(longest_seconds: float) -> RetryInvoker:
    """Return flwr's policy for requests that fail, with shorter pauses and an honest end.

    When the SuperLink does not accept the node any longer, flwr's policy interrupts the process,
    which then ends as if it had been asked to; here that is an error like any other. While the
    clocks differ, it tries again, and says nothing: that has been said.
    """
    policy = transport.retry_policy()
    their_end, their_wait = policy.should_giveup, policy.wait_function
    here = threading.local()

    def is_final(error: Exception) -> bool:
        here.said = False
        if isinstance(error, httpx.HTTPStatusError) and transport.is_unauthorized(error):
            here.said = seconds_ahead(error.response) is not None
            return not here.said
        return their_end is not None and their_end(error)

    def wait(seconds: float) -> None:
        (time.sleep if here.said else their_wait)(seconds)

    policy.should_giveup, policy.wait_function = is_final, wait
    policy.wait_gen_factory = lambda: exponential(
        base_delay=min(1.0, longest_seconds),
        max_delay=longest_seconds,  # type: ignore[arg-type]  # flwr declares whole seconds
    )
    return policy
