"""What flwr's programs have in common: how they end, say that they live, and name addresses."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import DEBUG
from pathlib import Path

# How flwr's programs read an address, and which one reaches a server that listens on all.
from flwr.supercore.address import parse_address, resolve_bind_address

# How long flwr's servers take to end.
from flwr.supercore.constant import HTTP_SERVER_SHUTDOWN_TIMEOUT

# How flwr's programs end at a signal: the exit code, the message, and what is stopped before.
from flwr.supercore.exit import register_signal_handlers

# The gRPC health service that flwr's options promise.
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls

# Whose level says how much flwr's programs log.
from flwr.supercore.logger import console_handler

# Which program ends; nothing is sent where telemetry is disabled.
from flwr.supercore.telemetry import EventType

# How an executor is told of TLS.
from flwr.supercore.tls import get_client_tls_args

from fedstate.logs import log_format

SHUTDOWN_SECONDS = float(HTTP_SERVER_SHUTDOWN_TIMEOUT)


@contextmanager
def command_line(program: str, arguments: Sequence[str]) -> Iterator[None]:
    """Let the process have this command line while flwr reads its options."""
    before = sys.argv
    sys.argv = [program, *arguments]
    try:
        yield
    finally:
        sys.argv = before


def end_supernode_at_signals(health_address: str | None) -> None:
    """Let signals end this process as they end flower-supernode; serve its health until then."""
    register_signal_handlers(
        event_type=EventType.RUN_SUPERNODE_LEAVE,
        exit_message="SuperNode terminated gracefully.",
        grpc_servers=[run_health_server_grpc_no_tls(health_address)] if health_address else [],
    )


def logs_requests() -> bool:
    """Return whether so much is logged that each request is."""
    return console_handler.level <= DEBUG


def normal_address(text: str) -> str | None:
    """Return ``HOST:PORT`` with an IPv6 address in brackets; None if it is no address."""
    if not (parsed := parse_address(text)):
        return None
    host, port, is_v6 = parsed
    return f"[{host}]:{port}" if is_v6 else f"{host}:{port}"


def executor_command(
    host: str,
    port: int,
    *,
    tls: bool,
    authority_file: str | None,
    installs_dependencies: bool,
    output: Path | None = None,
    socket: Path | None = None,
) -> list[str]:
    """Return the command of an executor of ours for the Runtime API of this process.

    The options are those that flwr gives its own executor, which authenticates itself by no
    secret: it ends with this process.

    Parameters
    ----------
    host, port : str and int
        Where the Runtime API is served.
    tls : bool
        Whether it speaks TLS.
    authority_file : str, optional
        The authority that vouches for it.
    installs_dependencies : bool
        Whether an app's dependencies are installed before it runs.
    output : Path, optional
        Where it keeps what runs print; without it, nowhere.
    socket : Path, optional
        The Unix socket on which the Runtime API is served, too.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [
        *(sys.executable, "-P", "-m", "fedstate", "executor"),
        *get_client_tls_args(insecure=not tls, root_certificates_path=authority_file),
        *("--runtime-api-address", resolve_bind_address(address)),
        *("--parent-pid", str(os.getpid())),
        *("--log-format", log_format()),
        *([] if output is None else ["--output", str(output)]),
        *([] if socket is None else ["--runtime-socket", str(socket)]),
        *(["--allow-runtime-dependency-installation"] if installs_dependencies else []),
    ]
