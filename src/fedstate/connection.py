"""SuperLink connections, as ``flwr`` reads them from ``$FLWR_HOME/config.toml``."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from fedstate.accounts.credentials import store_token, stored_token
from fedstate.errors import SettingError
from fedstate.files import PUBLIC, write_new

# Flower's Simulation Engine on this machine, which `flwr run` starts.
SIMULATION = "simulation"
_SIMULATED = {"address": ":local:"}


@dataclass(frozen=True)
class Connection:
    """How to reach one SuperLink.

    Attributes
    ----------
    name : str
        What ``flwr run APP NAME`` calls it.
    address : str
        The SuperLink, as ``host:port``.
    root_certificates : Path
        The authority that vouches for it.
    token : str, optional
        The token of the account that calls it; None where it has no accounts.
    """

    name: str
    address: str
    root_certificates: Path
    token: str | None = field(default=None, repr=False)


def flwr_home() -> Path:
    """Return the directory in which ``flwr`` keeps its configuration and installed apps."""
    return Path(os.environ.get("FLWR_HOME") or Path.home() / ".flwr")


def write_connection(
    connection: Connection, *, default: bool = False, home: Path | None = None
) -> Path:
    """Put a connection into Flower's configuration; other connections stay as they are.

    Parameters
    ----------
    connection : Connection
        The connection; one of the same name is replaced. Its token, if it has one, goes into
        Flower's credentials beside the configuration.
    default : bool
        Whether ``flwr run APP`` without a name uses it.
    home : Path, optional
        Flower's directory; without it, ``flwr_home()``.

    Returns
    -------
    Path
        The configuration file.

    Raises
    ------
    SettingError
        If the name or the address cannot be used, or the configuration that is there.
    """
    _check(connection)
    home = home or flwr_home()
    with _changing(home / "config.toml") as superlinks:
        superlinks[connection.name] = {
            "address": connection.address,
            "root-certificates": str(os.path.realpath(connection.root_certificates)),
        }
        superlinks.setdefault(SIMULATION, _SIMULATED)
        if default:
            superlinks["default"] = connection.name
        if connection.token is not None:
            store_token(home, connection.address, connection.token)
    return home / "config.toml"


def write_simulation(*, home: Path | None = None) -> Path:
    """Let ``flwr run APP simulation`` run an app in Flower's Simulation Engine on this machine.

    Other connections stay as they are; it is the default one where there is no other.

    Parameters
    ----------
    home : Path, optional
        Flower's directory; without it, ``flwr_home()``.

    Returns
    -------
    Path
        The configuration file.

    Raises
    ------
    SettingError
        If the configuration that is there cannot be used.
    """
    file = (home or flwr_home()) / "config.toml"
    with _changing(file) as superlinks:
        superlinks[SIMULATION] = _SIMULATED
        superlinks.setdefault("default", SIMULATION)
    return file


@contextmanager
def _changing(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the connections in a configuration, and write them back after the block."""
    config = _read(file) if file.exists() else {}
    superlinks = _superlinks(file, config)
    config["superlink"] = superlinks
    yield superlinks
    write_new(file, tomli_w.dumps(config).encode(), PUBLIC)


def read_connection(name: str | None = None, *, home: Path | None = None) -> Connection:
    """Read a connection; without a name, the default one.

    Parameters
    ----------
    name : str, optional
        The connection's name.
    home : Path, optional
        Flower's directory; without it, ``flwr_home()``.

    Raises
    ------
    SettingError
        If there is no configuration, no such connection, or no TLS in it; or if Flower's
        credentials cannot be read.
    """
    home = home or flwr_home()
    file = home / "config.toml"
    if not file.exists():
        raise SettingError(
            f"Flower's configuration {file} is missing; "
            "`fedstate connection NAME --address HOST:PORT --root-certificates CA` writes it."
        )
    superlinks = _superlinks(file, _read(file))
    name = name or superlinks.get("default")
    known = ", ".join(key for key, value in superlinks.items() if isinstance(value, dict))
    if name is None:
        raise SettingError(f"{file} names no default connection; name one of: {known}.")
    if not isinstance(superlinks.get(name), dict):
        raise SettingError(f"{file} has no connection '{name}'; it has: {known or 'none'}.")
    settings = superlinks[name]
    address, certificates = settings.get("address"), settings.get("root-certificates")
    if not isinstance(address, str) or not isinstance(certificates, str):
        raise SettingError(
            f"Connection '{name}' in {file} has no address or no root-certificates; "
            "fedstate talks to a SuperLink over TLS alone."
        )
    return Connection(name, address, Path(certificates), stored_token(home, address))


def authorities_of(address: str) -> list[Path]:
    """Return the root certificates of the connections to an address.

    Raises
    ------
    SettingError
        If Flower's configuration cannot be read.
    """
    file = flwr_home() / "config.toml"
    if not file.exists():
        return []
    found = _superlinks(file, _read(file)).values()
    settings = [
        each for each in found if isinstance(each, dict) and each.get("address") == address
    ]
    return [Path(each["root-certificates"]) for each in settings if "root-certificates" in each]


def _check(connection: Connection) -> None:
    if connection.name in ("", "default"):
        raise SettingError(
            f"A connection cannot be called '{connection.name}'; give it another name."
        )
    host, _, port = connection.address.rpartition(":")
    if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 2**16):
        raise SettingError(
            f"The address is '{connection.address}', which is not HOST:PORT, such as "
            "superlink.example:8000."
        )


def _superlinks(file: Path, config: dict[str, Any]) -> dict[str, Any]:
    superlinks = config.get("superlink", {})
    if not isinstance(superlinks, dict):
        raise SettingError(f"'superlink' in {file} is {superlinks!r}, and not a table.")
    return superlinks


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except ValueError as error:  # no TOML, or no text
        raise SettingError(f"{file} is not valid TOML: {error}.") from None
