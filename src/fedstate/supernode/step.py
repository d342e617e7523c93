"""One step under way in a SuperNode."""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from fedstate.flower.runs import Run
from fedstate.flower.stored_values import Envelope
from fedstate.logs import labelled
from fedstate.store.logged_store import Failure
from fedstate.supernode.machine import ARRIVED, Phase
from fedstate.witness.receipts import Receipt


@dataclass(eq=False)
class Step:
    """A step under way; all but what never changes is guarded by `lock`.

    Attributes
    ----------
    envelope : Envelope
        The message that asked for it.
    run : Run, optional
        The run that it belongs to; None for a message that is refused.
    phase : Phase
        Where it is.
    reply : tuple of Envelope and mapping of str to bytes, optional
        The reply or the error that is being sent.
    task_id : int, optional
        Its task, which is guarded by the lock of all steps.
    handed_out : bytes
        The digest of the state that its ClientApp was given; empty before that.
    failure : Failure, optional
        How it has failed.
    logged : bool
        Whether the log has the row of how it has ended.
    receipt : Receipt, optional
        The receipt for that, once it is needed.
    """

    envelope: Envelope
    run: Run | None = None
    phase: Phase = ARRIVED
    reply: tuple[Envelope, Mapping[str, bytes]] | None = None
    task_id: int | None = None
    handed_out: bytes = b""
    failure: Failure | None = None
    logged: bool = False
    receipt: Receipt | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def message_id(self) -> str:
        """The ID of the message that asked for it."""
        return self.envelope.message.metadata.message_id

    @property
    def run_id(self) -> int:
        """The run that it belongs to."""
        return self.envelope.message.metadata.run_id

    def labelled(self) -> AbstractContextManager[None]:
        """Label the lines that are logged in a block with the step that they are about."""
        metadata = self.envelope.message.metadata
        return labelled(run=metadata.run_id, round=metadata.group_id, message=metadata.message_id)

    @property
    def series_id(self) -> int:
        """The run series whose Context it works on."""
        if self.run is None:
            raise LookupError(f"Run {self.run_id} is not known on this node.")
        return self.run.series_id
