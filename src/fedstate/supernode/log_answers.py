"""Answering who asks for the node's log: rows, and digests of what the node holds.

The rows come from the store, and nothing from an app. One thread answers, beside the steps: it
reads page by page and chunk by chunk, so that no step waits for it.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fedstate.failpoints import reach
from fedstate.flower.errors import SuperLinkError
from fedstate.flower.log_pages import LogPage, LogRequest
from fedstate.flower.stored_values import describe_state
from fedstate.logs import logger
from fedstate.store.errors import StoreError
from fedstate.store.logged_store import Held, LoggedStore
from fedstate.supernode.link import Link
from fedstate.witness.receipts import Receipt

# 250 KB, and without a noted signature 0.1 s of signing.
PAGE_ROWS = 500
# While states are read, the one who asked hears this often that an answer is on its way.
_SIGN_OF_LIFE_SECONDS = 2.0


class LogAnswers:
    """Answers requests for a node's log, one after the other, on a thread of its own.

    Parameters
    ----------
    store : LoggedStore
        The node store.
    link : Link
        Sends pages, and signs rows whose signature was not noted.
    page_rows : int
        How many rows one page has at most.
    """

    def __init__(self, store: LoggedStore, link: Link, page_rows: int = PAGE_ROWS) -> None:
        self._store = store
        self._link = link
        self._page_rows = page_rows
        self._pool = ThreadPoolExecutor(1, "log")
        self._lock = threading.Lock()
        self._asked: set[str] = set()

    def take(self, requests: Sequence[LogRequest]) -> None:
        """Have requests answered; one that is being answered is not answered twice."""
        for request in requests:
            with self._lock:
                if request.request_id in self._asked:
                    continue
                self._asked.add(request.request_id)
            try:
                self._pool.submit(self._answer, request)
            except RuntimeError:  # the SuperNode ends
                return

    def close(self) -> None:
        """Answer nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, request: LogRequest) -> None:
        try:
            self._send(request)
        except (StoreError, SuperLinkError) as error:
            logger.warning("A request for the node's log is not answered. %s", error)
        except Exception:
            logger.exception("A request for the node's log is not answered.")
        finally:
            with self._lock:
                self._asked.discard(request.request_id)

    def _send(self, request: LogRequest) -> None:
        last, run_ids = request.after_sequence, request.run_ids
        # Before the rows, which then are at least those of which it tells.
        runs, problem = self._held(request)
        while True:
            rows = self._store.rows_after(last, run_ids, self._page_rows)
            ended = len(rows) < self._page_rows
            page = self._page(request, [self._link.sign(row) for row in rows])
            if ended:
                page = self._page(request, page.receipts, runs, last=True, problem=problem)
            if not self._link.push_log(page) or ended:
                return
            reach("log-page-sent")
            last = rows[-1].record.sequence

    def _held(self, request: LogRequest) -> tuple[list[Held], str]:
        """Return what is held of each run, and what is wrong with the store."""
        told = time.monotonic()

        def progress() -> None:
            nonlocal told
            if time.monotonic() - told > _SIGN_OF_LIFE_SECONDS:
                told = time.monotonic()
                self._link.push_log(self._page(request, []))

        describe = describe_state if request.held else None
        try:
            run_ids = request.run_ids or [chain.run_id for chain in self._store.chains()]
            return [self._store.held(run_id, describe, progress) for run_id in run_ids], ""
        except StoreError as error:
            return [], str(error)

    def _page(
        self,
        request: LogRequest,
        receipts: Sequence[Receipt],
        runs: Sequence[Held] = (),
        *,
        last: bool = False,
        problem: str = "",
    ) -> LogPage:
        store = self._store
        return LogPage(
            receipts=receipts,
            request_id=request.request_id,
            runs=runs,
            last=last,
            problem=problem,
            store_id=store.store_id,
            opening=store.opening,
            generation=store.generation,
        )
