"""Answers as they come from a connection: those that a test makes have been read already."""

from collections.abc import Iterator

import httpx


class _Body(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


def unread(response: httpx.Response) -> httpx.Response:
    """Return an answer of which only the headers have come."""
    return httpx.Response(
        response.status_code, headers=response.headers, stream=_Body(response.read())
    )
