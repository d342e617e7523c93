"""Tokens of accounts: made once, kept as a digest, sent in a header."""

import hashlib
import secrets
from collections.abc import Iterable

from fedstate.accounts.errors import Refusal

# By this beginning, programs that search for secrets in files find them.
PREFIX = "fedstate_"
_RANDOM_BYTES = 32
# Longer than any token: nothing longer is hashed.
_MOST_CHARACTERS = 256

_HOW = (
    "ask its operator for a token, and store it with `fedstate connection NAME --address "
    "HOST:PORT --root-certificates CA --token-file FILE`"
)


def new_token() -> str:
    """Return a new token, of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal digits.

    No salt and no slow function: nobody can guess 256 random bits.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the token of a request.

    Parameters
    ----------
    headers : iterable of pairs of bytes
        The request's headers, their names in lower case, as ASGI has them.

    Raises
    ------
    Refusal
        There is no token, or no single one.
    """
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        raise Refusal.unauthenticated(f"This SuperLink answers accounts alone: {_HOW}.")
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    token = token.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not 0 < len(token) <= _MOST_CHARACTERS:
        raise Refusal.unauthenticated(
            "The request's Authorization header is not one of 'Bearer TOKEN', which is what this "
            "SuperLink reads; stock `flwr` sends that."
        )
    return token


def unknown_token() -> Refusal:
    """Return the refusal of a token that belongs to no account."""
    return Refusal.unauthenticated(f"This SuperLink does not know the token: {_HOW}.")


def revoked_token(name: str) -> Refusal:
    """Return the refusal of a token that was revoked."""
    return Refusal.unauthenticated(f"The token of account '{name}' was revoked: {_HOW}.")
