"""Publishers, and FABs that they have signed, as flwr's command line signs them."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.supercore.primitives.asymmetric_ed25519 import create_message_to_sign

SIGNED_AT = 1_700_000_000


class Publisher:
    """Somebody who signs FABs, by the ID that a SuperLink knows the key by."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> str:
        encoded = self._key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return encoded.decode()

    def sign(self, content: bytes) -> dict[str, str]:
        """Return what comes with a FAB that this publisher has signed."""
        message = create_message_to_sign(hashlib.sha256(content).digest(), SIGNED_AT)
        signature = base64.urlsafe_b64encode(self._key.sign(message)).decode()
        signed = json.dumps({"signed_at": SIGNED_AT, "signature": signature})
        return {self.key_id: signed, "valid_license": "Valid"}
