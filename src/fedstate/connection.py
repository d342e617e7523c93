"""SuperLink connections, as ``flwr`` reads them from ``$FLWR_HOME/config.toml``."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from fedstate.errors import SettingError
from fedstate.files import PUBLIC, write_new


@dataclass(frozen=True)
class Connection:
    """How to reach one SuperLink: ``host:port``, and the authority that vouches for it."""

    name: str
    address: str
    root_certificates: Path


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
        The connection; one of the same name is replaced.
    default : bool
        Whether ``flwr run APP`` without a name uses it.
    home : Path, optional
        Flower's directory; without it, ``flwr_home()``.

    Returns
    -------
    Path
        The configuration file.
    """
    file = (home or flwr_home()) / "config.toml"
    config = _read(file) if file.exists() else {}
    superlinks = config.setdefault("superlink", {})
    superlinks[connection.name] = {
        "address": connection.address,
        "root-certificates": str(connection.root_certificates.resolve()),
    }
    # `flwr run APP simulation` runs the same app in Flower's Simulation Engine on this machine.
    superlinks.setdefault("simulation", {"address": ":local:"})
    if default:
        superlinks["default"] = connection.name
    write_new(file, tomli_w.dumps(config).encode(), PUBLIC)
    return file


def read_connection(name: str | None = None) -> Connection:
    """Read a connection; without a name, the default one.

    Raises
    ------
    SettingError
        If there is no configuration, no such connection, or no TLS in it.
    """
    file = flwr_home() / "config.toml"
    if not file.exists():
        raise SettingError(
            f"Flower's configuration {file} is missing; "
            "`fedstate connection NAME --address HOST:PORT --root-certificates CA` writes it."
        )
    superlinks: dict[str, Any] = _read(file).get("superlink", {})
    name = name or superlinks.get("default")
    known = ", ".join(key for key, value in superlinks.items() if isinstance(value, dict))
    if name is None:
        raise SettingError(f"{file} names no default connection; name one of: {known}.")
    if not isinstance(superlinks.get(name), dict):
        raise SettingError(f"{file} has no connection '{name}'; it has: {known or 'none'}.")
    settings = superlinks[name]
    if "address" not in settings or "root-certificates" not in settings:
        raise SettingError(
            f"Connection '{name}' in {file} has no address or no root-certificates; "
            "fedstate talks to a SuperLink over TLS alone."
        )
    return Connection(name, settings["address"], Path(settings["root-certificates"]))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{file} is not valid TOML: {error}.") from None
