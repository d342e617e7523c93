"""``fedstate health``: ask a SuperLink or SuperNode whether it is well."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedstate.cli.examples import examples
from fedstate.cli.place import LOCAL_DIRECTORY
from fedstate.connection import authorities_of, flwr_home
from fedstate.errors import FederationError, SettingError
from fedstate.health import SOCKET_SCHEME, UntrustedError, check_health, parts_of

# Where the federations that can be started here keep their authority.
_AUTHORITIES = (LOCAL_DIRECTORY / "superlink" / "ca.crt", Path("certs/generated/ca.crt"))


EXAMPLES = examples(
    "fedstate health 127.0.0.1:8000",
    "fedstate health 127.0.0.1:8000 --root-certificates ca.crt --format json",
)


class Format(StrEnum):
    """How the answer is shown."""

    TEXT = "text"
    JSON = "json"


def health(
    address: Annotated[str, typer.Argument(help="Where it listens, as HOST:PORT or unix:PATH.")],
    root_certificates: Annotated[
        Path | None,
        typer.Option(
            help="The authority's ca.crt; without it, that of the connection to this address, or "
            "of the federation in this directory."
        ),
    ] = None,
    shown: Annotated[
        Format, typer.Option("--format", help="A sentence for people, or JSON for programs.")
    ] = Format.TEXT,
) -> None:
    """Ask a SuperLink or SuperNode whether it is well; exit code 1 if it is not.

    A certificate that expires within 30 days is named in a line of its own.
    """
    warnings: list[str] = []
    try:
        _check(address, _authorities(address, root_certificates), warnings)
    except FederationError as error:
        if shown is Format.TEXT:
            raise
        typer.echo(json.dumps({"address": address, "healthy": False, "problem": str(error)}))
        raise typer.Exit(1) from None
    if shown is Format.JSON:
        typer.echo(json.dumps({"address": address, "healthy": True, "warnings": warnings}))
        return
    typer.echo(f"{address} is well.")
    for warning in warnings:
        typer.echo(warning)


def _check(address: str, authorities: list[Path], warnings: list[str]) -> None:
    if not authorities:
        check_health(address, None, warnings.append)
        return
    for authority in authorities[:-1]:
        try:
            check_health(address, authority, warnings.append)
        except UntrustedError:
            continue
        return
    check_health(address, authorities[-1], warnings.append)


def _authorities(address: str, given: Path | None) -> list[Path]:
    """Return the authorities that may vouch for an address, the likeliest first.

    A Unix socket needs none.
    """
    if address.startswith(SOCKET_SCHEME):
        return []
    # What is wrong with it is not to be looked for in the authorities.
    parts_of(address)
    if given is not None:
        return [given]
    here = [each for each in _AUTHORITIES if each.exists()]
    found = list(dict.fromkeys([*authorities_of(address), *here]))
    if not found:
        raise SettingError(
            f"No authority is known here for {address}: there is no connection to it in "
            f"{flwr_home() / 'config.toml'}, and no federation in this directory; give the "
            "authority's ca.crt as --root-certificates."
        )
    return found
