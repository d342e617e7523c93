"""The nodes of a SuperLink as its Control API knows them, and what their operator changes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

# A node in the Control API's answers, the form in which it keeps keys, and its refusals.
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedstate.errors import CertificateError
from fedstate.exchange import paths
from fedstate.exchange.messages import (
    ReplaceNodeKeyRequest,
    ReplaceNodeKeyResponse,
    RestoreNodeRequest,
    RestoreNodeResponse,
)

if TYPE_CHECKING:
    from fedstate.flower.control import Control


@dataclass(frozen=True)
class Node:
    """A SuperNode as a SuperLink knows it.

    Attributes
    ----------
    node_id : int
        Its ID.
    public_key : bytes
        The key that it is known by (PEM).
    online : bool
        Whether it is connected.
    status : str
        ``registered`` (never connected), ``online``, ``offline`` or ``unregistered``.
    name, location : str
        What its operator has registered; empty if nothing.
    registered_at : str
        When it was registered, as ISO 8601.
    """

    node_id: int
    public_key: bytes
    online: bool
    status: str = ""
    name: str = ""
    location: str = ""
    registered_at: str = ""


def replace_key(control: "Control", node_id: int, public_key_file: Path) -> bool:
    """Give a SuperNode another public key; its ID, and what it has, stay.

    Returns
    -------
    bool
        False if it has this key already.

    Raises
    ------
    CertificateError
        If the file holds no public key that Flower takes.
    FederationError
        If the SuperLink refuses it.
    """
    request = ReplaceNodeKeyRequest(node_id=node_id, public_key=load_public_key(public_key_file))
    in_use = (
        f"A node of the SuperLink at {control.address} has the key {public_key_file}, or has had "
        "it before; make a new one with `fedstate certificates node`."
    )
    refusals: dict[int, str] = {
        ApiErrorCode.NODE_NOT_FOUND: _no_node(control, node_id) + ", or it is unregistered.",
        ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE: in_use,
    }
    answer = control.call(paths.CONTROL_REPLACE_KEY, request, ReplaceNodeKeyResponse, refusals)
    return bool(answer.changed)


def restore_node(control: "Control", node_id: int) -> bool:
    """Take back a SuperNode that was unregistered, with its ID and its key.

    Returns
    -------
    bool
        False if it is registered.

    Raises
    ------
    FederationError
        If the SuperLink refuses it.
    """
    request = RestoreNodeRequest(node_id=node_id)
    refusals: dict[int, str] = {ApiErrorCode.NODE_NOT_FOUND: _no_node(control, node_id) + "."}
    answer = control.call(paths.CONTROL_RESTORE_NODE, request, RestoreNodeResponse, refusals)
    return bool(answer.changed)


def _no_node(control: "Control", node_id: int) -> str:
    return f"Your account has no node {node_id} at the SuperLink at {control.address}"


def load_public_key(file: Path) -> bytes:
    """Read an OpenSSH public key in the form in which the SuperLink keeps it.

    Raises
    ------
    CertificateError
        If the file is missing or holds no elliptic-curve public key.
    """
    try:
        key = serialization.load_ssh_public_key(file.read_bytes())
    except FileNotFoundError:
        raise CertificateError(
            f"The public key {file} is missing; `fedstate certificates node` makes it."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{file} is not an OpenSSH public key.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError(
            f"{file} is not an elliptic-curve key, which is the only kind that Flower takes."
        )
    return public_key_to_bytes(key)


def node_of(info: NodeInfo) -> Node:
    """Return what a SuperLink says of a node."""
    return Node(
        info.node_id,
        info.public_key,
        online=info.status == "online",
        status=info.status,
        name=info.name,
        location=info.location,
        registered_at=info.registered_at,
    )
