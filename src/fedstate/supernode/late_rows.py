"""Rows for which there was no room: written, signed and sent as soon as there is some.

Of a step whose message the store has, the row is written when the step is forgotten. A message
that was refused, since the disk was full, is in no store: what became of it is kept here. Neither
row was there when the error left, so its receipt follows by itself. After a kill, rows that were
written and not sent are found by their missing signature.
"""

import threading
from collections import OrderedDict

from fedstate.flower.errors import RefusedError, SuperLinkError
from fedstate.flower.log_pages import LogPage
from fedstate.logs import logger
from fedstate.store.errors import StoreFullError
from fedstate.store.logged_store import Failure, LoggedStore
from fedstate.supernode.link import Link

# A row takes about a kilobyte. Of a disk that stays full, the oldest refusals are given up.
MOST_ROWS = 10_000
_ROWS_AT_ONCE = 200


class LateRows:
    """Failures that could not be logged, and rows whose receipts were not sent.

    Any thread may add; one thread flushes.

    Parameters
    ----------
    store : LoggedStore
        The node store.
    link : Link
        Signs the receipts and sends them.
    """

    def __init__(self, store: LoggedStore, link: Link) -> None:
        self._store = store
        self._link = link
        # Guards what follows; nothing is waited for while it is held.
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, Failure] = OrderedDict()
        # The last SuperNode may have been killed before it had sent them.
        self._unsent = True

    def add(self, message_id: str, failure: Failure) -> None:
        """Keep a failure whose row could not be written."""
        with self._lock:
            self._failures[message_id] = failure
            while len(self._failures) > MOST_ROWS:
                self._failures.popitem(last=False)

    def written(self) -> None:
        """Note that a row was written after its error had left."""
        with self._lock:
            self._unsent = True

    def flush(self) -> None:
        """Write what there is room for, and send receipts that were not sent; wait for neither.

        Raises
        ------
        StoreError
            The store cannot be used.
        """
        try:
            self._write()
            self._send()
        except StoreFullError:
            return
        except SuperLinkError as error:
            logger.warning("Receipts of steps that failed are not sent yet. %s", error)

    def _write(self) -> None:
        while True:
            with self._lock:
                message_id, failure = next(iter(self._failures.items()), ("", None))
            if failure is None:
                return
            self._store.record_failure(message_id, failure)
            with self._lock:
                self._failures.pop(message_id, None)
                self._unsent = True

    def _send(self) -> None:
        with self._lock:
            unsent, self._unsent = self._unsent, False
        if not unsent or not self._link.signs:
            return
        try:
            while rows := self._store.unsigned_rows(_ROWS_AT_ONCE):
                receipts = [self._link.sign(row) for row in rows]
                try:
                    self._link.push_log(LogPage(receipts=receipts))
                except RefusedError as error:
                    # It wants none of these; whoever asks for the log gets the rows.
                    logger.warning("Receipts of steps that failed were refused. %s", error)
                self._store.note_signatures([self._link.signed_now(each) for each in receipts])
        except (StoreFullError, SuperLinkError):
            self.written()
            raise
