"""One step as the node that made it has written it down: a row of its log.

There are rows that are of no step: what else the node did with the state of a run.

A row is bytes. It is encoded once, by the node that writes it; digests and signatures are over
these bytes, and nobody encodes a row again to compare it.
"""

import hashlib
import struct
from operator import attrgetter
from typing import NamedTuple

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none

from fedstate.witness.witness_pb2 import StepRecord as _Encoded

COMMITTED = "committed"
FAILED = "failed"
# No attempts at a step: what the node did with the state of a run all the same.
ROLLED_BACK = "rolled back"
BEGUN = "begun"
OUTCOMES = (COMMITTED, FAILED, ROLLED_BACK, BEGUN)

REASON_CHARACTERS = 1000


class MalformedRecordError(ValueError):
    """Bytes are not a row of a node's log; the text says what they lack."""


# A named tuple: of a dataclass, to make one takes twice as long, and there are a million rows.
class StepRecord(NamedTuple):
    """What a node says of one attempt at a step that has ended.

    Attributes
    ----------
    sequence : int
        Its number in the log of this store, over all runs: from 1, without gaps.
    run_sequence : int
        Its number among the rows of its run in this store: from 1, without gaps.
    run_id, series_id, node_id : int
        The run, its run series (0 if the node never had the run), the node.
    store_id : str
        The random name of the node store, which its backups share.
    group_id, action, message_id : str
        The round, the type and the ID of the message that asked for the step, from its metadata.
    handed_out : bytes
        The digest of the state that the ClientApp was given; empty if it was given none.
    stored : bytes
        The digest of the state that the next step will be given: after a failure what was there
        before. Empty if no step of the run has been given or has stored a state yet.
    state_bytes, new_bytes : int
        The size of the stored state, and how much of it the store did not have yet, in bytes;
        both 0 after a failure.
    app_seconds : float
        Seconds from the handing out of the message to the arrival of the reply.
    commit_seconds : float
        Seconds from the arrival of the ClientApp's output until this row was written: digests
        and the writing of chunks are in it, the waiting for the disk at the end is not.
    time : float
        Unix time at which the row was written, by the node's clock.
    outcome : str
        ``committed`` or ``failed``; of rows that are of no step, ``rolled back``, by the node's
        operator, or ``begun``: the run's first state is that of another run, as it asked for.
    reason : str
        Of a failure, `REASON_CHARACTERS` at most.
    previous : bytes
        The digest of the row before it in its run; `genesis` of the run for the first.
    previous_of_store : bytes
        The digest of the row before it in this store, whatever its run; empty for the first.
    generation : int
        The number of state commits of this store, up to and with this step.
    opening : bytes
        A random name that the store gets whenever it is opened: a store that was copied or put
        back goes on under another one.
    source_run, source_number : int
        Of a row that is of no step: the run that the state is from, and the number of the row
        there that had stored it, 0 for the state with which that run began.
    """

    sequence: int
    run_sequence: int
    run_id: int
    series_id: int
    node_id: int
    store_id: str
    group_id: str
    action: str
    message_id: str
    handed_out: bytes
    stored: bytes
    state_bytes: int
    new_bytes: int
    app_seconds: float
    commit_seconds: float
    time: float
    outcome: str
    reason: str
    previous: bytes
    previous_of_store: bytes
    generation: int
    opening: bytes
    source_run: int = 0
    source_number: int = 0

    @property
    def committed(self) -> bool:
        """Whether it is a step that stored a state."""
        return self.outcome == COMMITTED

    @property
    def failed(self) -> bool:
        """Whether it is a step that failed."""
        return self.outcome == FAILED

    @property
    def is_step(self) -> bool:
        """Whether it is an attempt at a step."""
        return self.outcome in (COMMITTED, FAILED)

    @property
    def stores(self) -> bool:
        """Whether the run has had another state since, whoever made it."""
        return self.outcome != FAILED

    def encode(self) -> bytes:
        """Return the row as bytes."""
        encoded = _Encoded(**self._asdict())
        return bytes(encoded.SerializeToString(deterministic=True))

    @staticmethod
    def decode(row: bytes) -> "StepRecord":
        """Return the row that `encode` made bytes of.

        Raises
        ------
        MalformedRecordError
            The bytes are something else.
        """
        try:
            encoded = _Encoded.FromString(row)
        except (DecodeError, TypeError) as error:
            raise MalformedRecordError("the bytes are not a row of a node's log") from error
        record = StepRecord._make(_values(encoded))
        if not (record.sequence and record.run_sequence and record.store_id):
            raise MalformedRecordError("the row has no number or names no store")
        if record.outcome not in OUTCOMES:
            raise MalformedRecordError(f"the row has the outcome '{record.outcome}'")
        if len(record.previous) != hashlib.sha256().digest_size:
            raise MalformedRecordError("the row does not name the row before it")
        return record


_values = attrgetter(*StepRecord._fields)


def record_digest(row: bytes) -> bytes:
    """Return the digest by which a row is named in the row that follows it."""
    return hashlib.sha256(row).digest()


def genesis(store_id: str, run_id: int) -> bytes:
    """Return what the first row of a run names in place of a row before it."""
    return hashlib.sha256(
        b"fedstate run log\0" + store_id.encode() + b"\0" + struct.pack("<Q", run_id)
    ).digest()
