"""What nodes and executors sign."""

import hashlib
import secrets
from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.auth import (
    compute_superexec_signature,
    create_superexec_auth_metadata,
    derive_auth_secret,
)
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    SUPEREXEC_AUTH_BODY_SHA256_HEADER,
    SUPEREXEC_AUTH_NONCE_HEADER,
    SUPEREXEC_AUTH_SIGNATURE_HEADER,
    SUPEREXEC_AUTH_TIMESTAMP_HEADER,
)
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from fedstate.exchange.paths import ACQUIRE_TASK


@dataclass(frozen=True)
class NodeKey:
    """A key pair of a node, and what it signs."""

    private: ec.EllipticCurvePrivateKey

    @property
    def public(self) -> bytes:
        """The public key as requests carry it."""
        return public_key_to_bytes(self.private.public_key())

    def signed(self, ago: timedelta = timedelta(0)) -> dict[str, str]:
        """Return the headers of a request that was signed some time ago."""
        timestamp = (now() - ago).isoformat()
        signature = sign_message(self.private, timestamp.encode())
        return {
            FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(self.public).decode(),
            TIMESTAMP_HEADER: timestamp,
            FLEET_HTTP_SIGNATURE_HEADER: b64encode(signature).decode(),
        }


def key_in(directory: Path) -> NodeKey:
    """Return the node key in a directory."""
    private = load_ssh_private_key((directory / "node.key").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return NodeKey(private)


def signed_by_executor(secret: bytes, request: Any) -> dict[str, str]:
    """Return the headers with which an executor asks for a task."""
    return create_superexec_auth_metadata(
        auth_secret=derive_auth_secret(secret), method=ACQUIRE_TASK, request=request
    )


def signed_at_another_time(secret: bytes, ago: timedelta) -> dict[str, str]:
    """Return what an executor has signed some time ago, for a request without a body."""
    timestamp, nonce = int((now() - ago).timestamp()), secrets.token_hex(16)
    digest = hashlib.sha256(b"").hexdigest()
    signature = compute_superexec_signature(
        auth_secret=derive_auth_secret(secret),
        method=ACQUIRE_TASK,
        timestamp=timestamp,
        nonce=nonce,
        body_sha256=digest,
    )
    return {
        SUPEREXEC_AUTH_TIMESTAMP_HEADER: str(timestamp),
        SUPEREXEC_AUTH_NONCE_HEADER: nonce,
        SUPEREXEC_AUTH_BODY_SHA256_HEADER: digest,
        SUPEREXEC_AUTH_SIGNATURE_HEADER: signature,
    }
