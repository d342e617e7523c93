"""``fedstate connection`` and ``enrol``: the small steps between the services."""

from pathlib import Path
from typing import Annotated

import typer

from fedstate.accounts.changes import read_token
from fedstate.cli.examples import examples
from fedstate.connection import (
    SIMULATION,
    Connection,
    read_connection,
    write_connection,
    write_simulation,
)
from fedstate.errors import SettingError

CONNECTION_EXAMPLES = examples(
    "fedstate connection hospital --address superlink.example:8000 --root-certificates ca.crt",
    "fedstate connection simulation",
)
ENROL_EXAMPLES = examples("fedstate enrol node.pub", "fedstate enrol node.pub --superlink here")


def connection(
    name: Annotated[str, typer.Argument(help="What `flwr run APP NAME` calls it.")],
    address: Annotated[
        str | None, typer.Option(help="The SuperLink, as HOST:PORT; none for `simulation`.")
    ] = None,
    root_certificates: Annotated[
        Path | None, typer.Option(help="The authority's ca.crt; none for `simulation`.")
    ] = None,
    default: Annotated[bool, typer.Option(help="Use it where no name is given.")] = True,
    token_file: Annotated[
        Path | None,
        typer.Option(help="The token of your account; it goes into $FLWR_HOME/credentials.yaml."),
    ] = None,
) -> None:
    """Write a SuperLink connection into Flower's configuration ($FLWR_HOME/config.toml).

    The connection `simulation` is Flower's Simulation Engine on this machine.
    """
    if name == SIMULATION and address is None:
        typer.echo(
            f"Connection '{name}' to Flower's Simulation Engine is in {write_simulation()}."
        )
        return
    if address is None or root_certificates is None:
        raise SettingError(
            f"Connection '{name}' needs --address HOST:PORT and --root-certificates FILE; "
            f"`fedstate connection {SIMULATION}` alone needs neither."
        )
    token = None if token_file is None else read_token(token_file)
    target = Connection(name, address, root_certificates, token)
    file = write_connection(target, default=default)
    typer.echo(f"Connection '{name}' to {address} is in {file}.")


def enrol(
    public_keys: Annotated[list[Path], typer.Argument(help="SuperNodes' node.pub files.")],
    superlink: Annotated[str | None, typer.Option(help="A connection's name.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the SuperLink.")] = 60.0,
) -> None:
    """Register SuperNodes' public keys at the SuperLink; registered ones stay registered."""
    # Control pulls in flwr; the other two commands need not wait for it.
    from fedstate.flower.control import control, load_public_key, wait_for_superlink

    target = read_connection(superlink)
    for public_key in public_keys:
        load_public_key(public_key)  # what is wrong with a file need not wait for the SuperLink
    wait_for_superlink(target, wait)
    with control(target) as link:
        for public_key in public_keys:
            new = link.register(public_key)
            typer.echo(f"{public_key}: {'registered' if new else 'was registered already'}")
