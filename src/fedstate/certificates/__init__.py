"""Certificates and keys: the authority, server certificates, node keys, shared secrets."""

from fedstate.certificates.authority import (
    Authority,
    ensure_authority,
    ensure_server_certificate,
    load_certificate,
)
from fedstate.certificates.keys import ensure_node_key, ensure_secret

__all__ = [
    "Authority",
    "ensure_authority",
    "ensure_node_key",
    "ensure_secret",
    "ensure_server_certificate",
    "load_certificate",
]
