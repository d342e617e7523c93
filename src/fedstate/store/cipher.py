"""Encryption at rest: what the node store does to bytes on their way to disk and back.

A random data key encrypts every value (AES-256-GCM, NIST SP 800-38D). It is stored in the
database, itself encrypted under the operator's key, so that rotating that key rewrites 60
bytes and not the store (envelope encryption). Chunks are addressed by a keyed digest: nobody
without the key can test whether a store holds a given array.
"""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedstate.store.errors import StoreKeyError

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_WRAPPING = b"fedstate node store data key"

Buffer = bytes | memoryview


class Cipher(Protocol):
    """How values are addressed, and written to and read from the disk; used by any thread.

    Attributes
    ----------
    keyed : bool
        Whether the digests depend on a key.
    overhead : int
        How many bytes more than what was written are on the disk.
    """

    keyed: bool
    overhead: int

    def digest(self, plain: Buffer) -> bytes:
        """Return the 32 bytes by which a chunk is addressed and checked."""

    def content_digest(self, digest: bytes, plain: Buffer) -> bytes:
        """Return the SHA-256 of `plain`, whose digest is known."""

    def encrypt(self, plain: Buffer) -> Buffer:
        """Return what is written for `plain`."""

    def decrypt(self, stored: bytes) -> bytes:
        """Return what `encrypt` was given; raise ValueError if it was altered."""


class PlainCipher:
    """No encryption: chunks are addressed by their SHA-256."""

    keyed = False
    overhead = 0

    def digest(self, plain: Buffer) -> bytes:
        """Return the SHA-256 of `plain`."""
        return hashlib.sha256(plain).digest()

    def content_digest(self, digest: bytes, plain: Buffer) -> bytes:  # noqa: ARG002
        """Return `digest`, which it is."""
        return digest

    def encrypt(self, plain: Buffer) -> Buffer:
        """Return `plain` itself."""
        return plain

    def decrypt(self, stored: bytes) -> bytes:
        """Return `stored` itself."""
        return stored


class AesGcmCipher:
    """AES-256-GCM with a random nonce for each value."""

    keyed = True
    overhead = _NONCE_BYTES + _TAG_BYTES

    def __init__(self, data_key: bytes) -> None:
        self._aead = AESGCM(data_key)
        # Two uses, two keys: the addresses must not be computed with the encryption key.
        self._address_key = hmac.digest(data_key, b"fedstate chunk address", "sha256")

    def digest(self, plain: Buffer) -> bytes:
        """Return the keyed SHA-256 of `plain`."""
        return hmac.digest(self._address_key, plain, "sha256")

    def content_digest(self, digest: bytes, plain: Buffer) -> bytes:  # noqa: ARG002
        """Return the SHA-256 of `plain`: whom a digest is told cannot know the key."""
        return hashlib.sha256(plain).digest()

    def encrypt(self, plain: Buffer) -> Buffer:
        """Return nonce and ciphertext of `plain`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, bytes(plain), None)

    def decrypt(self, stored: bytes) -> bytes:
        """Return the plaintext; raise ValueError if it was altered."""
        try:
            return self._aead.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise ValueError("authentication failed") from error


def read_key(path: Path) -> bytes:
    """Read an encryption key: 64 hexadecimal digits in a file.

    Raises
    ------
    StoreKeyError
        The file cannot be read or holds something else.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        raise StoreKeyError(
            f"The encryption key '{path}' cannot be read ({error.strerror}). "
            "Give the path of a file that holds 64 hexadecimal digits."
        ) from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreKeyError(
            f"The encryption key '{path}' does not hold 64 hexadecimal digits. "
            f"Make one with: openssl rand -hex {KEY_BYTES} > {path}"
        )
    return key


def new_wrapped_key(key: bytes) -> bytes:
    """Return a new random data key, encrypted under the operator's `key`."""
    return _wrap(key, os.urandom(KEY_BYTES))


def rewrap(wrapped: bytes, old: bytes, new: bytes) -> bytes:
    """Return the data key in `wrapped`, encrypted under `new` instead of `old`.

    Raises
    ------
    StoreKeyError
        `old` is not the key of the store.
    """
    return _wrap(new, _unwrap(old, wrapped))


def open_cipher(wrapped: bytes | None, key: bytes | None) -> Cipher:
    """Return the cipher of a store whose data key is `wrapped` (None: not encrypted).

    Raises
    ------
    StoreKeyError
        A key is missing, wrong, or given for a store that is not encrypted.
    """
    if wrapped is None and key is None:
        return PlainCipher()
    if wrapped is None:
        raise StoreKeyError(
            "The node store is not encrypted, but an encryption key was given. Leave the key "
            "out, or encrypt the store first, with 'fedstate state encrypt'."
        )
    if key is None:
        raise StoreKeyError(
            "The node store is encrypted and no key was given. "
            "Give the key's file with --state-key."
        )
    return AesGcmCipher(_unwrap(key, wrapped))


def _wrap(key: bytes, data_key: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data_key, _WRAPPING)


def _unwrap(key: bytes, wrapped: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _WRAPPING)
    except InvalidTag as error:
        raise StoreKeyError(
            "The encryption key is not the key of this node store. "
            "Give the key that the store was created with or last rotated to."
        ) from error
