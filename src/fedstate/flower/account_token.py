"""The token of an account in the requests of our clients, as flwr's own command line sends it."""

from collections.abc import Callable

import httpx

# What each of flwr's interceptors is given.
from flwr.supercore.protobuf.client import ProtobufRequestContext


class AccountToken:
    """Adds a token to each request.

    Parameters
    ----------
    token : str
        The token of an account.
    """

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def intercept(
        self,
        context: ProtobufRequestContext,
        call_next: Callable[[ProtobufRequestContext], httpx.Response],
    ) -> httpx.Response:
        """Send a request with the token."""
        context.request.headers["Authorization"] = self._header
        return call_next(context)
