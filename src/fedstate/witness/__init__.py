"""What a node says of its steps, so that others can hold it to its word.

``record``    a row of the node's log: one attempt at a step that has ended
``digests``   the digest of a state
``receipts``  a row with the node's signature
``chain``     how the rows of a run hold together, and what breaks that

Nodes, SuperLinks and verifiers use the same code; none of it needs flwr.
"""

from fedstate.witness.chain import Break, Fault, breaks
from fedstate.witness.digests import CHUNK_BYTES, EMPTY_STATE, chunk_digests, state_digest
from fedstate.witness.receipts import Receipt, is_signed_by, public_key_from, sign, signed_by
from fedstate.witness.record import (
    BEGUN,
    COMMITTED,
    FAILED,
    REASON_CHARACTERS,
    ROLLED_BACK,
    MalformedRecordError,
    StepRecord,
    genesis,
    record_digest,
)

__all__ = [
    "BEGUN",
    "CHUNK_BYTES",
    "COMMITTED",
    "EMPTY_STATE",
    "FAILED",
    "REASON_CHARACTERS",
    "ROLLED_BACK",
    "Break",
    "Fault",
    "MalformedRecordError",
    "Receipt",
    "StepRecord",
    "breaks",
    "chunk_digests",
    "genesis",
    "is_signed_by",
    "public_key_from",
    "record_digest",
    "sign",
    "signed_by",
    "state_digest",
]
