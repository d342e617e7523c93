"""A SuperLink of this process on a port, over TLS, as ``flwr`` and ``fedstate`` reach one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.connection import Connection
from fedstate.local.process import free_port
from tests.unit.superlink_in_process import SuperLink
from tests.waiting import wait_until


@contextmanager
def served(superlink: SuperLink, directory: Path) -> Iterator[Connection]:
    """Serve a SuperLink while the block runs; its certificates are in the directory."""
    ensure_server_certificate(directory, ensure_authority(directory / "authority"), ["127.0.0.1"])
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            superlink.app,
            port=port,
            lifespan="off",
            log_config=None,
            access_log=False,
            ssl_certfile=directory / "server.crt",
            ssl_keyfile=directory / "server.key",
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield Connection("here", f"127.0.0.1:{port}", directory / "ca.crt")
    finally:
        server.should_exit = True
        thread.join()
