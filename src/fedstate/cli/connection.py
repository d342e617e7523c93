"""``fedstate connection``, ``enrol`` and ``health``: the small steps between the services."""

from pathlib import Path
from typing import Annotated

import typer

from fedstate.accounts.changes import read_token
from fedstate.connection import Connection, read_connection, write_connection
from fedstate.health import check_health


def connection(
    name: Annotated[str, typer.Argument(help="What `flwr run APP NAME` calls it.")],
    address: Annotated[str, typer.Option(help="The SuperLink, as host:port.")],
    root_certificates: Annotated[Path, typer.Option(help="The authority's ca.crt.")],
    default: Annotated[bool, typer.Option(help="Use it where no name is given.")] = True,
    token_file: Annotated[
        Path | None,
        typer.Option(help="The token of your account; it goes into $FLWR_HOME/credentials.yaml."),
    ] = None,
) -> None:
    """Write a SuperLink connection into Flower's configuration ($FLWR_HOME/config.toml)."""
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


def health(
    url: Annotated[str, typer.Argument(help="For example https://localhost:8000/health.")],
    root_certificates: Annotated[Path, typer.Option(help="The authority's ca.crt.")],
) -> None:
    """Ask a SuperLink or SuperNode over TLS whether it is well; exit code 1 if it is not.

    A certificate that expires within 30 days is named in a line of its own.
    """
    warnings: list[str] = []
    typer.echo(f"{url}: {check_health(url, root_certificates, warnings.append)}")
    for warning in warnings:
        typer.echo(warning)
