"""The answers that a server gives by itself, in the form of flwr's: JSON with a ``detail``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Send


@dataclass(frozen=True)
class Refusal:
    """The answer to a request that is not let through.

    Attributes
    ----------
    status : int
        The HTTP status.
    content : mapping
        The body, as JSON.
    headers : mapping
        Headers beside those of the body.
    """

    status: int
    content: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send) -> None:
        """Answer with it; the connection is closed then, since its body has not been read."""
        body = json.dumps(self.content, separators=(",", ":")).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *((name.lower().encode(), value.encode()) for name, value in self.headers.items()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def refusal(status: int, sentence: str) -> Refusal:
    """Return a refusal that says why in a sentence."""
    return Refusal(status, {"detail": sentence})
