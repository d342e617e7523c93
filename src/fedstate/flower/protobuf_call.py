"""A call of any route, with one of flwr's clients."""

from typing import Any, TypeVar

import httpx

# flwr's clients have a method for each of flwr's routes, and this base for all others.
from flwr.supercore.protobuf.client import ProtobufClient

__all__ = ["ProtobufClient", "call_route"]

Response = TypeVar("Response")


def call_route(
    client: ProtobufClient,
    path: str,
    method: str,
    request: Any,
    response_type: type[Response],
    seconds: float | None = None,
) -> Response | None:
    """Return the server's response, or None if the server has no such route.

    The client's connection, authentication and retries are used.

    Parameters
    ----------
    client
        A client of flwr's.
    path
        The route.
    method
        The name of the call, which a client that authenticates itself signs.
    request
        A protobuf message.
    response_type
        The class of the message that the route answers with.
    seconds
        How long to wait for the response; None for as long as the client waits for others.

    Raises
    ------
    httpx.HTTPStatusError
        The server refuses the request.
    httpx.TransportError
        The connection failed.
    ValueError
        The response is not such a message.
    """
    try:
        response: Response = client._unary_unary(  # noqa: SLF001
            path=path,
            rpc_method=method,
            request=request,
            response_type=response_type,
            timeout=seconds,
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return None
    return response
