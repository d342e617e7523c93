"""One step under way in a SuperNode."""

import threading
from dataclasses import dataclass, field

from fedstate.flower.stored_values import Envelope


@dataclass
class Step:
    """A step under way."""

    envelope: Envelope
    series_id: int = 0
    task_id: int | None = None
    over: bool = False
    pulled_again: bool = False
    # Whether a part of the reply may have been pushed before.
    sent_before: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def message_id(self) -> str:
        """The ID of the message that asked for it."""
        return self.envelope.message.metadata.message_id

    @property
    def run_id(self) -> int:
        """The run that it belongs to."""
        return self.envelope.message.metadata.run_id
