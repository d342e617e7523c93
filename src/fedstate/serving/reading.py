"""Reading from a connection into one buffer that all connections of a server share."""

import asyncio

# As much as uvloop has decrypted, or takes from the system, at once.
_BUFFER_BYTES = 256 * 1024


class Reading(asyncio.BufferedProtocol):
    """Has what arrives read into a buffer, and hands a protocol a view of it.

    For a protocol that is handed bytes, uvloop makes new ones for each record of TLS, which is
    16 KiB, and joins them: of a large body, that may cost as much as to decrypt it.

    Parameters
    ----------
    protocol : asyncio.Protocol
        Whatever it is handed it has parsed, or has a copy of, when it returns.
    buffer : memoryview
        What is read into; `read_buffer` makes one for a thread.
    """

    def __init__(self, protocol: asyncio.Protocol, buffer: memoryview) -> None:
        self._protocol = protocol
        self._buffer = buffer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the other end is slower."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Note that the other end has caught up."""
        self._protocol.resume_writing()

    def eof_received(self) -> bool | None:
        """Note that the other end sends no more; return whether it still reads."""
        return self._protocol.eof_received()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return what is read into next."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what was read."""
        self._protocol.data_received(self._buffer[:nbytes])  # type: ignore[arg-type]


def read_buffer() -> memoryview:
    """Return a buffer for the connections of one event loop, which reads them in turns."""
    return memoryview(bytearray(_BUFFER_BYTES))
