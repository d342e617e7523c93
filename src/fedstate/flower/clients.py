"""The client of the SuperLink's Fleet API, and what its errors mean."""

from enum import Enum
from typing import Any

import httpx

# The Fleet API's client, its errors and flwr's retry policy: flwr exports none of them.
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.retry import RetryInvoker, exponential, make_simple_http_retry_invoker
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedstate.errors import FederationError

_RETRY_SECONDS = 5.0
_IDLE_SECONDS = 2.0


class Fate(Enum):
    """What a SuperLink says of a run."""

    GOING = "going"
    ENDED = "ended"
    # It has no such run, or this node is not in the run's federation: it does not say which.
    UNKNOWN = "unknown"


class FleetClient(FleetHttpClient):
    """flwr's client, which does not use a connection that the SuperLink is about to close.

    Both sides close an idle connection after 5 s. A pull that meets this moment breaks, and
    nobody knows whether a message was on its way.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        super().__init__(base_url, **options)
        self._client.close()
        self._client = httpx.Client(
            verify=options.get("verify", True),
            timeout=self._client.timeout,
            follow_redirects=True,
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
        )


def retry_invoker() -> RetryInvoker:
    """Return flwr's policy for requests that fail, with shorter pauses and an honest end.

    When the SuperLink does not accept the node any longer, flwr's policy interrupts the process,
    which then ends as if it had been asked to; here `FederationError` says why it ends.
    """
    invoker = make_simple_http_retry_invoker()
    theirs = invoker.should_giveup

    def should_give_up(error: Exception) -> bool:
        if isinstance(error, httpx.HTTPStatusError) and is_unauthorized(error):
            raise FederationError(reason_of(error)) from None
        return theirs is not None and theirs(error)

    invoker.should_giveup = should_give_up
    # flwr waits up to 20 s between tries, and a SuperLink that was restarted is back sooner.
    invoker.wait_gen_factory = lambda: exponential(max_delay=int(_RETRY_SECONDS))
    return invoker


def is_unauthorized(error: httpx.HTTPError) -> bool:
    """Return whether the SuperLink did not accept the node's key or its ID."""
    unauthorized = httpx.codes.UNAUTHORIZED
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == unauthorized


def reason_of(error: httpx.HTTPError) -> str:
    """Return one sentence on why the SuperLink did not do what it was asked."""
    if not isinstance(error, httpx.HTTPStatusError):
        return f"The SuperLink cannot be reached ({error or type(error).__name__})."
    known = FlowerError.from_json(error.response.text)
    if known and known.code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        return (
            "The SuperLink did not admit this node: its key is not registered there, or another "
            "SuperNode with the same key is online or was until moments ago."
        )
    if is_unauthorized(error):
        return (
            "The SuperLink does not accept this node's key: register it with 'flwr supernode "
            "register'. A key that was unregistered is not taken again; give the node a new one."
        )
    return f"The SuperLink refused ({known.message if known else error})."
