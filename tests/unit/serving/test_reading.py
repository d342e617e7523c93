"""What arrives is read into one buffer, and handed on from there."""

import asyncio
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.serving.reading import Reading, read_buffer

HOST = "127.0.0.1"
SENT = os.urandom(3_000_000)


class Taking(asyncio.Protocol):
    """Notes what it is told, and copies what it is handed."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.kinds: set[type] = set()
        self.told: list[str] = []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")
        cast("asyncio.WriteTransport", transport).write(SENT)

    def data_received(self, data: bytes) -> None:
        self.parts.append(bytes(data))
        self.kinds.add(type(data))

    def pause_writing(self) -> None:
        self.told.append("paused")

    def resume_writing(self) -> None:
        self.told.append("resumed")

    def eof_received(self) -> None:
        self.told.append("end of file")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.told.append("lost")
        self.ended.set_result(None)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    ensure_server_certificate(directory, ensure_authority(directory / "authority"), [HOST])
    return directory


async def _serve(listener: socket.socket, context: ssl.SSLContext | None) -> Taking:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connection, _ = await loop.sock_accept(listener)
    taking = Taking()

    def make() -> Any:
        return Reading(taking, read_buffer())

    await loop.connect_accepted_socket(make, connection, ssl=context)
    await taking.ended
    return taking


def _ask(address: tuple[str, int], context: ssl.SSLContext | None) -> None:
    made = socket.create_connection(address, 30)
    with context.wrap_socket(made, server_hostname=HOST) if context else made as connection:
        left = len(SENT)
        while left and (part := connection.recv(left)):
            left -= len(part)
        connection.sendall(SENT)


@pytest.mark.parametrize("is_tls", [True, False], ids=["TLS", "TCP"])
def test_a_protocol_is_handed_all_that_arrives(directory: Path, is_tls: bool) -> None:
    served = trusting = None
    if is_tls:
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(directory / "server.crt", directory / "server.key")
        trusting = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    with socket.create_server((HOST, 0)) as listener:
        client = threading.Thread(target=_ask, args=(listener.getsockname(), trusting))
        client.start()
        taking = uvloop.run(_serve(listener, served))
        client.join()
    assert b"".join(taking.parts) == SENT
    assert taking.kinds == {memoryview}
    assert (taking.told[0], taking.told[-1]) == ("made", "lost")
    reading = Reading(taking, read_buffer())
    reading.pause_writing()
    reading.resume_writing()
    assert taking.told[-2:] == ["paused", "resumed"]
