"""The Control API of a SuperLink that is named in Flower's configuration."""

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

# How `flwr run` finds its SuperLink by a name, makes a client of it, and starts the one of its
# Simulation Engine: flwr exports none of them publicly.
from flwr.cli.constant import (
    LOCAL_SUPERLINK_ADDRESS_MAGIC_VALUE,
    LOCAL_SUPERLINK_ADDRESS_MAGIC_VALUE_IN_MEMORY,
)
from flwr.cli.flower_config import read_superlink_connection
from flwr.cli.utils import init_http_client_from_connection

from fedstate.accounts.credentials import stored_token
from fedstate.connection import flwr_home
from fedstate.errors import FederationError
from fedstate.flower import transport
from fedstate.flower.control import Control
from fedstate.os_errors import sentence

_SIMULATION = (
    LOCAL_SUPERLINK_ADDRESS_MAGIC_VALUE,
    LOCAL_SUPERLINK_ADDRESS_MAGIC_VALUE_IN_MEMORY,
)


@contextmanager
def control_by_name(name: str | None, *, simulation: bool = False) -> Iterator[Control]:
    """Open the Control API at which ``flwr run APP NAME`` would start a run.

    Parameters
    ----------
    name : str or None
        The connection's name in Flower's configuration; the default one, if None.
    simulation : bool
        Whether that may be the local SuperLink of Flower's Simulation Engine, which is started
        then if it does not run.

    Raises
    ------
    FederationError
        The configuration has no such connection, or it cannot be used.
    """
    try:
        # What flwr says of the connection belongs on the terminal, not into a command's result.
        with contextlib.redirect_stdout(sys.stderr):
            connection = read_superlink_connection(name)
            if connection.address in _SIMULATION and not simulation:
                raise FederationError(
                    f"The SuperLink connection '{connection.name}' is that of Flower's "
                    "Simulation Engine, which has no nodes; name another one by --superlink, or "
                    "go to the directory of a federation."
                )
            # flwr's client deletes what it cannot read.
            stored_token(flwr_home(), str(connection.address))
            client = init_http_client_from_connection(connection)
            client._retry_invoker = transport.handshake_policy()  # noqa: SLF001  no parameter
    except (click.ClickException, click.exceptions.Exit, OSError, ValueError) as error:
        reason = error.message if isinstance(error, click.ClickException) else str(error)
        if isinstance(error, OSError) and error.filename is not None:
            reason = sentence(error)
        raise FederationError(
            f"The SuperLink connection '{name or 'default'}' cannot be used: "
            f"{reason or 'see above'}"
        ) from None
    try:
        yield Control(client, str(connection.address))
    finally:
        client.close()
