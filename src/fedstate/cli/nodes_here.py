"""The nodes of the federation in this directory: what its directories say of them."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_public_key,
)

from fedstate.certificates.keys import fingerprint
from fedstate.cli.compose import Compose, compose_in
from fedstate.cli.place import LOCAL_DIRECTORY, local_stores
from fedstate.connection import Connection, read_connection
from fedstate.errors import FedstateError
from fedstate.files import listed

# Where a federation writes the connection to its SuperLink, for whoever uses it from here.
_HOMES = (LOCAL_DIRECTORY / "flwr", Path("certs") / "generated")


@dataclass(frozen=True)
class NodeHere:
    """A node of the federation in this directory.

    Attributes
    ----------
    number : int
        Its number.
    directory : str
        Its state directory; in a compose project the container and the directory in it.
    key : str
        The fingerprint of its public key; empty if it is not known from here.
    store_bytes : int or None
        The size of its store; None if it is not known from here.
    """

    number: int
    directory: str
    key: str
    store_bytes: int | None


def nodes_here() -> list[NodeHere]:
    """Return the nodes of the local federation or of the compose project in this directory."""
    if LOCAL_DIRECTORY.is_dir():
        return _local()
    compose = compose_in(Path())
    if compose is None:
        return []
    try:
        numbers = compose.nodes()
        # One that was never started may be the directory of a program, and not of a federation.
        if connection_here() is None and not any(map(compose.is_there, numbers)):
            return []
        return [_of_compose(compose, number) for number in numbers]
    except FedstateError:
        # A compose file of something else, or no Docker: the SuperLink's nodes are shown alone.
        return []


def connection_here() -> Connection | None:
    """Return the connection to the SuperLink of the federation in this directory, or None."""
    for home in _HOMES:
        if (home / "config.toml").is_file():
            return read_connection(home=home)
    return None


def _of_compose(compose: Compose, number: int) -> NodeHere:
    place, key, size = compose.about(number)
    return NodeHere(number, place, _fingerprint(key), size)


def _local() -> list[NodeHere]:
    stores, found = local_stores(), []
    for home in listed(LOCAL_DIRECTORY):
        number = home.name.removeprefix("node-")
        if number != home.name and number.isdecimal():
            store = stores.get(int(number))
            size = None if store is None else size_of(store)
            file = home / "node.pub"
            key = _fingerprint(file.read_text()) if file.is_file() else ""
            found.append(NodeHere(int(number), str(store or home), key, size))
    return sorted(found, key=lambda node: node.number)


def _fingerprint(public_key: str) -> str:
    """Return the fingerprint of an OpenSSH public key; empty if it is none."""
    try:
        key = load_ssh_public_key(public_key.encode())
    except ValueError:
        return ""
    return fingerprint(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def size_of(store: Path) -> int:
    """Return the bytes of a store on the disk, those of the log beside it included."""
    files = [each for each in listed(store) if each.name.startswith("node.db")]
    database = sum(each.stat().st_size for each in files)
    # A file of content may have holes.
    content = sum(each.stat().st_blocks * 512 for each in listed(store / "node.content"))
    return database + content
