"""Node keys and shared secrets: made once, kept for good."""

import base64
import hashlib
import itertools
import secrets
import tempfile
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


def replace_node_key(directory: Path) -> Path:
    """Put another key pair in the place of a SuperNode's; the one that was there is kept.

    A SuperNode that runs goes on with the key that it has until the SuperLink refuses it, and
    then reads this one. The former pair becomes ``replaced-1.key`` and ``replaced-1.pub``, or
    with the next number that is free.

    Returns
    -------
    Path
        The new public key's file.

    Raises
    ------
    CertificateError
        If there is no ``node.key``, or it is no such key.
    """
    private_file, public_file = directory / "node.key", directory / "node.pub"
    if not private_file.exists():
        raise CertificateError(f"There is no {private_file} that could be replaced.")
    ensure_node_key(directory)  # a crash may have left the private one alone
    number = next(n for n in itertools.count(1) if not (directory / f"replaced-{n}.key").exists())
    kept = directory / f"replaced-{number}"
    with tempfile.TemporaryDirectory(dir=directory, prefix=".") as fresh:
        ensure_node_key(Path(fresh))
        kept.with_suffix(".key").hardlink_to(private_file)
        public_file.replace(kept.with_suffix(".pub"))
        # In this order: whatever a crash leaves, `ensure_node_key` completes it.
        for file in (private_file, public_file):
            (Path(fresh) / file.name).replace(file)
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
