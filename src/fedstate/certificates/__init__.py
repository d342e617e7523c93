"""Certificates and keys: the authority, server certificates, node keys, shared secrets."""

from fedstate.certificates.authority import (
    Authority,
    ensure_authority,
    ensure_server_certificate,
    load_certificate,
)
from fedstate.certificates.keys import ensure_node_key, ensure_secret
from fedstate.certificates.renewal import Renewed, drop_old_authority, renew, replace_authority

__all__ = [
    "Authority",
    "Renewed",
    "drop_old_authority",
    "ensure_authority",
    "ensure_node_key",
    "ensure_secret",
    "ensure_server_certificate",
    "load_certificate",
    "renew",
    "replace_authority",
]
