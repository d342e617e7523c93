"""A call of any route, with one of flwr's clients."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import httpx

# flwr's clients have a method for each of flwr's routes, and this base for all others. None of
# its calls streams a request, or leaves an answer in bytes: this is what they are made of.
from flwr.supercore.protobuf.client import ProtobufClient, ProtobufRequestContext
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none

from fedstate.large.wire import Buffer, in_chunks, size_of

__all__ = ["ProtobufClient", "call_route", "parsed", "send_pieces", "unless_missing", "whole"]

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
    return unless_missing(
        lambda: client._unary_unary(  # noqa: SLF001
            path=path,
            rpc_method=method,
            request=request,
            response_type=response_type,
            timeout=seconds,
        )
    )


def unless_missing(call: Callable[[], Response]) -> Response | None:
    """Return what a call of a route returns, or None if the server has no such route."""
    try:
        return call()
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return None


def parsed(kind: type[Response], content: bytes) -> Response:
    """Return a protobuf message.

    Raises
    ------
    ValueError
        The bytes are no such message.
    """
    try:
        message: Response = kind.FromString(content)  # type: ignore[attr-defined]
    except DecodeError as error:
        raise ValueError("Invalid protobuf response payload") from error
    return message


def send_pieces(
    client: ProtobufClient,
    path: str,
    method: str,
    request: Any,
    pieces: Sequence[Buffer],
    take: Callable[[Iterator[bytes]], Response],
) -> Response:
    """Send a request that is there in pieces; return what is made of the answer.

    Nothing is copied that protobuf would copy, several times over. It is sent, and raises, as
    `call_route` does, but that a missing route is an `httpx.HTTPStatusError` like all others.

    Parameters
    ----------
    client, path, method
        As for `call_route`.
    request
        The protobuf message, as the client's interceptors are to see it; large contents may be
        missing.
    pieces : sequence of bytes or memoryview
        The whole message.
    take : callable
        Takes the body of the answer in parts, as they arrive. It is called anew when an answer
        breaks off and the request is made again.
    """
    headers = {
        "content-type": PROTOBUF_MEDIA_TYPE,
        "accept": PROTOBUF_MEDIA_TYPE,
        "accept-encoding": "identity",
        "content-length": str(size_of(pieces)),
    }
    url = f"{client._base_url}{path}"  # noqa: SLF001

    def send() -> Response:
        http_request = client._client.build_request(  # noqa: SLF001
            "POST", url, content=_Content(pieces), headers=headers
        )
        patience = http_request.extensions["timeout"]["read"]
        context = ProtobufRequestContext(method, request, http_request)
        response = client._send(context, stream=True)  # noqa: SLF001
        # flwr would wait for each part of a streamed answer without end.
        http_request.extensions["timeout"]["read"] = patience
        try:
            response.raise_for_status()
            return take(response.iter_bytes())
        finally:
            response.close()

    invoker = client._retry_invoker  # noqa: SLF001
    return send() if invoker is None else cast("Response", invoker.invoke(send))


def whole(parts: Iterable[bytes]) -> bytearray:
    """Return the body of an answer."""
    body = bytearray()
    for part in parts:
        body += part
    return body


class _Content:
    """The body of a request, which can be sent again."""

    def __init__(self, pieces: Sequence[Buffer]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        # A connection with TLS copies what it is given.
        return cast("Iterator[bytes]", in_chunks(self._pieces))
