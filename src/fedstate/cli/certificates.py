"""``fedstate certificates``: make the keys and certificates of a federation."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fedstate.certificates import renewal
from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.certificates.keys import ensure_node_key, ensure_secret, replace_node_key
from fedstate.cli.examples import examples
from fedstate.errors import SettingError

app = typer.Typer(help="Make keys and certificates; what exists and is valid stays as it is.")

Directory = Annotated[Path, typer.Argument(help="Where the files are, or are to be.")]


@app.command(epilog=examples("fedstate certificates authority authority"))
def authority(directory: Directory) -> None:
    """Make the federation's certificate authority: ca.crt and ca.key."""
    ensure_authority(directory)


@app.command(
    epilog=examples(
        "fedstate certificates server superlink --authority authority --host link.example.org"
    )
)
def server(
    directory: Directory,
    authority: Annotated[Path, typer.Option(help="The authority's directory.")],
    host: Annotated[list[str], typer.Option(help="A name or address that clients use.")],
) -> None:
    """Issue a server certificate: server.crt, server.key, and a copy of ca.crt."""
    ensure_server_certificate(directory, ensure_authority(authority), host)


@app.command(
    epilog=examples(
        "fedstate certificates renew superlink --authority authority",
        "fedstate certificates renew superlink nodes --authority authority --new-authority",
    )
)
def renew(
    directories: Annotated[
        list[Path],
        typer.Argument(help="Services' directories, of server.crt or of ca.crt alone."),
    ],
    authority: Annotated[Path, typer.Option(help="The authority's directory.")],
    new_authority: Annotated[
        bool,
        typer.Option("--new-authority", help="Replace the authority; the old one stays trusted."),
    ] = False,
    drop_old_authority: Annotated[
        bool,
        typer.Option("--drop-old-authority", help="End the trust in an authority replaced so."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Renew server certificates that are valid, too.")
    ] = False,
) -> None:
    """Renew certificates, for the same hosts; services that run take them up by themselves.

    A server certificate is renewed in its last 30 days, and when it is of another authority.
    """
    if new_authority and drop_old_authority:
        raise SettingError(
            "--new-authority and --drop-old-authority are two steps, with time between them: "
            "give one."
        )
    step: Callable[..., list[renewal.Renewed]] = renewal.renew
    if new_authority:
        step = renewal.replace_authority
    elif drop_old_authority:
        step = renewal.drop_old_authority
    for each in step(directories, authority, force=force):
        if each.end is None:
            typer.echo(f"{each.directory}: has what is to be trusted.")
        else:
            what = "renewed" if each.new else "kept"
            typer.echo(f"{each.directory}: server.crt is {what}, until {each.end:%Y-%m-%d}.")


@app.command(
    epilog=examples(
        "fedstate certificates node identity", "fedstate certificates node identity --replace"
    )
)
def node(
    directory: Directory,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put another pair in the place of the one that is there."),
    ] = False,
) -> None:
    """Make a SuperNode's key pair: node.key and node.pub."""
    if not replace:
        ensure_node_key(directory)
        return
    public_file = replace_node_key(directory)
    typer.echo(
        f"{directory}: node.key is another one. The SuperNode uses it when the SuperLink's "
        f"operator has given it the new {public_file.name}: fedstate node replace-key."
    )


@app.command(epilog=examples("fedstate certificates secret superexec.secret"))
def secret(file: Annotated[Path, typer.Argument(help="The secret's file.")]) -> None:
    """Make the secret that a SuperExec shares with its SuperNode or SuperLink."""
    ensure_secret(file)
