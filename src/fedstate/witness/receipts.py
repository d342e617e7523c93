"""Receipts: rows of a node's log with the node's signature."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none

from fedstate.witness.record import MalformedRecordError, StepRecord, record_digest
from fedstate.witness.witness_pb2 import Receipt as _Encoded

_ALGORITHM = ec.ECDSA(SHA256())

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


# Not frozen: that takes three times as long to make, and there are a million. None is changed.
@dataclass(slots=True, unsafe_hash=True)
class Receipt:
    """A row as the node wrote it, and its signature over these bytes.

    Attributes
    ----------
    row : bytes
        The row; two receipts are of the same step if and only if their rows are the same bytes.
    signature : bytes
        ECDSA with SHA-256, in ASN.1 (DER); empty for a node without a key. Signing a row again
        gives another signature.
    """

    row: bytes
    signature: bytes = b""

    # Not by `functools.cached_property`, which takes a lock.
    _record: StepRecord | None = field(default=None, init=False, repr=False, compare=False)
    _digest: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def record(self) -> StepRecord:
        """What the row says.

        Raises
        ------
        MalformedRecordError
            The bytes are not a row.
        """
        if self._record is None:
            self._record = StepRecord.decode(self.row)
        return self._record

    @property
    def digest(self) -> bytes:
        """The digest by which the row that follows names this one."""
        if self._digest is None:
            self._digest = record_digest(self.row)
        return self._digest

    def encode(self) -> bytes:
        """Return the receipt as bytes."""
        encoded = _Encoded(record=self.row, signature=self.signature)
        return bytes(encoded.SerializeToString(deterministic=True))

    @staticmethod
    def decode(encoded: bytes) -> "Receipt":
        """Return the receipt that `encode` made bytes of; its row may still be malformed.

        Raises
        ------
        MalformedRecordError
            The bytes are something else.
        """
        try:
            receipt = _Encoded.FromString(encoded)
        except (DecodeError, TypeError) as error:
            raise MalformedRecordError("the bytes are not a receipt") from error
        return Receipt(receipt.record, receipt.signature)


def sign(row: bytes, key: PrivateKey) -> Receipt:
    """Return the receipt for a row."""
    return Receipt(row, key.sign(row, _ALGORITHM))


def is_signed_by(receipt: Receipt, key: PublicKey) -> bool:
    """Whether a receipt's own signature was made with the private half of a key."""
    try:
        key.verify(receipt.signature, receipt.row, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def signed_by(receipts: Sequence[Receipt], key: PublicKey) -> list[bool]:
    """Return for each receipt of one run, in their order, whether the node vouches for it.

    A signature vouches for the row that it is of, and for all rows that lead to that one: each
    names the row before it by its digest. So of a chain without a break only the last signature
    is verified, which takes half a millisecond. A receipt that nothing leads to is judged by its
    own signature.
    """
    vouched = [False] * len(receipts)
    for index in range(len(receipts) - 1, -1, -1):
        following = receipts[index + 1] if index + 1 < len(receipts) else None
        linked = (
            following is not None
            and vouched[index + 1]
            and following.record.previous == receipts[index].digest
        )
        vouched[index] = linked or is_signed_by(receipts[index], key)
    return vouched


def public_key_from(encoded: bytes) -> PublicKey:
    """Return a node's public key from the bytes that a SuperLink has of it (PEM).

    Raises
    ------
    ValueError
        They are not an elliptic-curve key.
    """
    key = load_pem_public_key(encoded)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("the key is not an elliptic-curve key")
    return key
