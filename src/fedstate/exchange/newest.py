"""The newest request of each client: what is handed out once goes to it, and to no other.

A request whose connection has broken may wait on in the server, which does not notice; whatever
it handed out would be lost. The client's next request takes its place.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

# Returns a block in which no other request of the client hands anything out; it is given whether
# the request is still the newest.
HandingOut = Callable[[], AbstractAsyncContextManager[bool]]


@dataclass
class _Client:
    """The requests of one client that are open."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    newest: object = None
    open: int = 0


class Newest:
    """Which request of each client is the newest; for one event loop."""

    def __init__(self) -> None:
        self._clients: dict[Hashable, _Client] = {}

    @contextmanager
    def request(self, client_id: Hashable) -> Iterator[HandingOut]:
        """Take the place of the client's earlier requests, for as long as the block lasts."""
        client = self._clients.setdefault(client_id, _Client())
        mine = client.newest = object()
        client.open += 1

        @asynccontextmanager
        async def handing_out() -> AsyncIterator[bool]:
            async with client.lock:
                yield client.newest is mine

        try:
            yield handing_out
        finally:
            client.open -= 1
            if not client.open:
                del self._clients[client_id]
