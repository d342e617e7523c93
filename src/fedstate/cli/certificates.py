"""``fedstate certificates``: make the keys and certificates of a federation."""

from pathlib import Path
from typing import Annotated

import typer

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.certificates.keys import ensure_node_key, ensure_secret

app = typer.Typer(help="Make keys and certificates; what exists and is valid stays as it is.")

Directory = Annotated[Path, typer.Argument(help="Where the files are, or are to be.")]


@app.command()
def authority(directory: Directory) -> None:
    """Make the federation's certificate authority: ca.crt and ca.key."""
    ensure_authority(directory)


@app.command()
def server(
    directory: Directory,
    authority: Annotated[Path, typer.Option(help="The authority's directory.")],
    host: Annotated[list[str], typer.Option(help="A name or address that clients use.")],
) -> None:
    """Issue a server certificate: server.crt, server.key, and a copy of ca.crt."""
    ensure_server_certificate(directory, ensure_authority(authority), host)


@app.command()
def node(directory: Directory) -> None:
    """Make a SuperNode's key pair: node.key and node.pub."""
    ensure_node_key(directory)


@app.command()
def secret(file: Annotated[Path, typer.Argument(help="The secret's file.")]) -> None:
    """Make the secret that a SuperExec shares with its SuperNode or SuperLink."""
    ensure_secret(file)
