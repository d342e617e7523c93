"""Asking nodes for their logs, through the requests in which SuperNodes wait for messages."""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from fedstate.exchange.messages import LogRequest, PushLogRequest

# A SuperNode's next wait comes within seconds; one that has not waited for so long is an older
# one, or Flower's own.
_WAITING_SECONDS = 30.0
# A request that may have been lost on its way to the node is handed out again.
_AGAIN_SECONDS = 5.0
# A page has up to a few megabytes; a node waits until the one who asked has taken the last ones.
_MOST_PAGES = 8


@dataclass
class _Asked:
    """One request that is under way, and the pages of the nodes that answer it."""

    request: LogRequest
    nodes: set[int]
    handed_out: dict[int, float] = field(default_factory=dict)
    pages: queue.Queue[tuple[int, PushLogRequest]] = field(
        default_factory=lambda: queue.Queue(_MOST_PAGES)
    )


class LogRequests:
    """The requests for logs that are under way in a SuperLink; any thread may use it.

    Parameters
    ----------
    wake : callable
        Lets the SuperNodes that wait for messages be answered now.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        # Guards what follows; nothing is waited for while it is held.
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}
        self._seen: dict[int, float] = {}

    def answering(self) -> set[int]:
        """Return the nodes that have waited for messages lately, and that answer requests."""
        since = time.monotonic() - _WAITING_SECONDS
        with self._lock:
            return {node_id for node_id, seen in self._seen.items() if seen > since}

    def due(self, node_id: int) -> list[LogRequest]:
        """Return what a node that waits for messages is asked for, and note that it waits."""
        now = time.monotonic()
        with self._lock:
            self._seen[node_id] = now
            due = [
                asked
                for asked in self._asked.values()
                if node_id in asked.nodes
                and now - asked.handed_out.get(node_id, -_AGAIN_SECONDS) >= _AGAIN_SECONDS
            ]
            for asked in due:
                asked.handed_out[node_id] = now
            return [asked.request for asked in due]

    def receive(self, node_id: int, page: PushLogRequest, seconds: float) -> bool:
        """Take a page of a node's log; return whether more pages are wanted.

        It waits for up to `seconds` if the one who asked has not taken the pages before it.
        """
        with self._lock:
            asked = self._asked.get(page.request_id)
            if asked is None or node_id not in asked.nodes:
                return False
            asked.handed_out[node_id] = float("inf")  # it has arrived
        try:
            asked.pages.put((node_id, page), timeout=seconds)
        except queue.Full:
            return False
        return True

    def ask(
        self, node_ids: Collection[int], run_ids: Sequence[int], seconds: float
    ) -> Iterator[tuple[int, PushLogRequest | None]]:
        """Ask nodes for their logs of these runs; yield their pages as they come.

        After the last page of each node nothing more is waited for. A node of which nothing has
        come for `seconds` is yielded with None.
        """
        request = LogRequest(request_id=uuid.uuid4().hex, run_ids=run_ids, held=True)
        asked = _Asked(request, set(node_ids))
        with self._lock:
            self._asked[request.request_id] = asked
        try:
            self._wake()
            yield from self._pages(asked, seconds)
        finally:
            with self._lock:
                del self._asked[request.request_id]

    def _pages(
        self, asked: _Asked, seconds: float
    ) -> Iterator[tuple[int, PushLogRequest | None]]:
        start = time.monotonic()
        until = dict.fromkeys(asked.nodes, start + seconds)
        while until:
            first = min(until, key=until.__getitem__)
            left = until[first] - time.monotonic()
            try:
                if left <= 0:
                    raise queue.Empty
                node_id, page = asked.pages.get(timeout=left)
            except queue.Empty:
                del until[first]
                yield first, None
                continue
            if node_id not in until:
                continue  # it was given up
            if page.last:
                del until[node_id]
            else:
                until[node_id] = time.monotonic() + seconds
            yield node_id, page
