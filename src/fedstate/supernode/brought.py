"""Objects that came with their message, until its step needs them.

Messages may wait for their turn for long, and there may be many: what does not fit here is pulled
when it is needed, as if it had not come.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable

from fedstate.exchange.messages import BESIDE_BYTES
from fedstate.flower.clients import Objects

# The objects of at least two messages.
MOST_BYTES = 2 * BESIDE_BYTES


class Brought:
    """Objects of messages, by run; safe to use from every thread.

    Parameters
    ----------
    most_bytes : int
        How much is kept; what has been here longest goes first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._objects: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, run_id: int, objects: Objects) -> None:
        """Keep objects that have come."""
        with self._lock:
            for object_id, content in objects.items():
                self._drop((run_id, object_id))
                self._objects[run_id, object_id] = content
                self._bytes += len(content)
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._objects)))

    def take(self, run_id: int, object_ids: Iterable[str]) -> Objects:
        """Return those of the given objects that are here, and keep them no longer."""
        with self._lock:
            return {
                object_id: content
                for object_id in object_ids
                if (content := self._drop((run_id, object_id))) is not None
            }

    def forget(self, run_id: int) -> None:
        """Keep nothing of a run."""
        with self._lock:
            for key in [key for key in self._objects if key[0] == run_id]:
                self._drop(key)

    def _drop(self, key: tuple[int, str]) -> bytes | None:
        content = self._objects.pop(key, None)
        self._bytes -= len(content or b"")
        return content
