"""Node keys and shared secrets: made once, kept for good."""

import base64
import hashlib
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedstate.errors import CertificateError
from fedstate.files import PRIVATE, PUBLIC, write_new

SECRET_BYTES = 32


def ensure_node_key(directory: Path) -> Path:
    """Put a SuperNode's key pair (``node.key``, ``node.pub``) into ``directory``.

    A node's identity in a federation, and with it the state that it keeps, hangs on this key: an
    existing key is never replaced. The form is what Flower asks for: OpenSSH, a NIST curve.

    Returns
    -------
    Path
        The public key's file, to be registered at the SuperLink.

    Raises
    ------
    CertificateError
        If ``node.key`` exists and is no such key.
    """
    private_file, public_file = directory / "node.key", directory / "node.pub"
    if not private_file.exists():
        fresh = ec.generate_private_key(ec.SECP384R1())
        content = fresh.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        write_new(private_file, content, PRIVATE)
    try:
        key = serialization.load_ssh_private_key(private_file.read_bytes(), password=None)
    except ValueError:
        raise CertificateError(f"{private_file} is not an OpenSSH private key.") from None
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    write_new(public_file, public + b"\n", PUBLIC)
    return public_file


def fingerprint(encoded: bytes) -> str:
    """Return the short form of a node's public key by which people compare keys.

    Parameters
    ----------
    encoded : bytes
        The key as a SuperLink has it (PEM).
    """
    return "SHA256:" + base64.b64encode(hashlib.sha256(encoded).digest()).decode().rstrip("=")


def ensure_secret(file: Path) -> None:
    """Put a random secret into ``file``; an existing one is kept.

    A SuperExec proves with it that it may take tasks from its SuperNode or SuperLink.

    Raises
    ------
    CertificateError
        If ``file`` exists and holds nothing.
    """
    if file.exists():
        if not file.read_bytes().strip():
            raise CertificateError(f"The secret {file} is empty; remove it, and it is made anew.")
    else:
        write_new(file, secrets.token_hex(SECRET_BYTES).encode(), PRIVATE)
