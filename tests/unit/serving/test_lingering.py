"""What still comes after the answer is thrown away, for a while and up to a size."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from fedstate.serving import lingering
from fedstate.serving.lingering import Lingering


def lingers(meet: Callable[[Lingering, socket.socket], Awaitable[None]]) -> None:
    """Run a test with a connection that was taken, whose client's end it is given."""

    async def run() -> None:
        left = Lingering()
        client, served = socket.socketpair()
        with client, served:
            client.setblocking(False)
            left.take(served.fileno())
            served.close()
            await meet(left, client)
        left.close()
        assert not len(left)

    asyncio.run(asyncio.wait_for(run(), 30))


async def gone(left: Lingering, count: int = 0) -> None:
    while len(left) > count:
        await asyncio.sleep(0.001)


def test_the_end_is_said_and_what_comes_is_thrown_away() -> None:
    async def meet(left: Lingering, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(client, 1) == b""
        await loop.sock_sendall(client, b"x" * 10_000_000)
        assert len(left) == 1
        client.close()
        await gone(left)

    lingers(meet)


def test_it_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "_SECONDS", 0.01)

    async def meet(left: Lingering, client: socket.socket) -> None:
        await gone(left)
        with pytest.raises(BrokenPipeError):
            client.send(b"x")

    lingers(meet)


def test_it_ends_after_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "_BYTES", 1_000_000)

    async def meet(left: Lingering, client: socket.socket) -> None:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await asyncio.get_running_loop().sock_sendall(client, b"x" * 100_000_000)
        assert not len(left)

    lingers(meet)


def test_for_another_one_the_oldest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "_MOST", 2)

    async def meet(left: Lingering, client: socket.socket) -> None:
        others = [socket.socketpair() for _ in range(2)]
        for mine, theirs in others:
            left.take(theirs.fileno())
            theirs.close()
            assert mine.send(b"x")
        with pytest.raises(BrokenPipeError):
            client.send(b"x")
        assert len(left) == 2
        left.close()
        for mine, _ in others:
            mine.close()

    lingers(meet)


def test_after_the_end_of_the_server_none_is_taken() -> None:
    async def meet(left: Lingering, client: socket.socket) -> None:
        left.close()
        mine, theirs = socket.socketpair()
        with mine, theirs:
            left.take(theirs.fileno())
            assert not len(left)
        with pytest.raises(BrokenPipeError):
            client.send(b"x")

    lingers(meet)


def test_one_that_is_closed_is_not_taken() -> None:
    async def meet(left: Lingering, client: socket.socket) -> None:
        mine, theirs = socket.socketpair()
        descriptor = theirs.fileno()
        theirs.close()
        left.take(descriptor)
        mine.close()
        assert len(left) == 1
        assert client

    lingers(meet)
