"""The objects of messages under way at a SuperNode: in memory up to a bound, the rest in a file.

A message, and a reply before it is committed, is as large as its model. A SuperNode that has both
and a state in memory would need a multiple of it.
"""

import weakref

from fedstate.flower.array_objects import is_chunk
from fedstate.flower.own_objects import OwnObjectStore
from fedstate.large.freed_memory import give_back_freed_memory
from fedstate.large.spool import Spool, Spooled
from fedstate.large.wire import Buffer

# More of all messages together waits in a file.
KEPT_BYTES = 128 * 1024 * 1024
_LARGE_BYTES = 1024 * 1024
# What has moved to a file is given back to the system so much at a time.
_GIVEN_BACK_BYTES = 64 * 1024 * 1024
# The room that objects leave in a file is free when all of it is unused.
_FILE_BYTES = 256 * 1024 * 1024


class WaitingObjectStore(OwnObjectStore):
    """An object store in memory, of which what is beyond a bound waits in a temporary file.

    Parameters
    ----------
    kept_bytes : int, optional
        The bound; None for no file.
    """

    def __init__(self, kept_bytes: int | None = KEPT_BYTES) -> None:
        super().__init__()
        self._kept_bytes = kept_bytes
        self._spool: weakref.ref[Spool] | None = None
        self._freed_bytes = 0

    def put(self, object_id: str, object_content: bytes) -> None:
        """Put an object into the store, where it is checked."""
        super().put(object_id, object_content)
        if len(object_content) < _LARGE_BYTES or not is_chunk(object_content):
            return
        with self.lock_store:
            if self._kept_bytes is None or self._bytes_in_memory() <= self._kept_bytes:
                return
            spool = self._current_spool()
        spooled = spool.put(object_content)
        with self.lock_store:
            entry = self.store.get(object_id)
            if spooled is not None and entry is not None and entry.is_available:
                # `get` and `view` below are all that reads it.
                entry.content = spooled  # type: ignore[assignment]
                self._freed_bytes += len(object_content)
            if is_enough := self._freed_bytes >= _GIVEN_BACK_BYTES:
                self._freed_bytes = 0
        if is_enough:
            give_back_freed_memory()

    def get(self, object_id: str) -> bytes | None:
        """Return the content of an object; nothing of one that is still to come."""
        content: bytes | Spooled | None = super().get(object_id)
        return content.read() if isinstance(content, Spooled) else content

    def view(self, object_id: str) -> Buffer | None:
        """Return the content of an object without a copy, for as long as the view is there."""
        content: bytes | Spooled | None = super().get(object_id)
        return content.view() if isinstance(content, Spooled) else content

    def _bytes_in_memory(self) -> int:
        contents = (entry.content for entry in self.store.values())
        return sum(len(content) for content in contents if isinstance(content, bytes))

    def _current_spool(self) -> Spool:
        spool = self._spool() if self._spool is not None else None
        if spool is None or spool.size >= _FILE_BYTES:
            spool = Spool()
            self._spool = weakref.ref(spool)
        return spool
