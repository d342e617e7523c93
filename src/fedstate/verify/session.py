"""Verifying runs at a SuperLink: which ones, in which batches, and what for."""

import gc
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.report import Report
from fedstate.verify.selection import Selection
from fedstate.verify.superlink import SuperLinkSource
from fedstate.verify.verifier import SIGNATURE_BUDGET, Verifier

# A report with every step of more runs than this would take hundreds of megabytes.
RUNS_WITH_STEPS = 20
_FETCHED_AT_ONCE = 2


class Session:
    """Verifies the selected runs, once or again and again.

    Parameters
    ----------
    source : SuperLinkSource
        Where the evidence is from.
    selection : Selection
        Which runs.
    """

    def __init__(self, source: SuperLinkSource, selection: Selection) -> None:
        self._source = source
        self._selection = selection

    def selected(self) -> list[RunEvidence]:
        """Return the runs that are meant, as the SuperLink knows them now."""
        runs = self._source.runs()
        chosen = set(self._selection.among(runs))
        return [run for run in runs if run.run_id in chosen]

    def verify(self, progress: Callable[[int, int], None] = lambda *_: None) -> Report:
        """Verify the runs; `progress` is told how many of how many have been."""
        # There are few cycles in evidence: to look for them all the time takes a third of it.
        collecting = gc.isenabled()
        gc.disable()
        # What is there now stays: it need not be looked through after each batch.
        gc.freeze()
        try:
            return self._verify(progress)
        finally:
            gc.unfreeze()
            if collecting:
                gc.enable()

    def _verify(self, progress: Callable[[int, int], None]) -> Report:
        runs = self._source.runs()
        chosen = self._selection.among(runs)
        few = len(chosen) <= RUNS_WITH_STEPS
        # Of many runs, one signature vouches for all rows of a node's store.
        verifier = Verifier(keep_steps=few, budget=SIGNATURE_BUDGET if few else 0)
        done: set[int] = set()
        for evidence in _ahead(self._source.fetches(chosen)):
            verifier.add(evidence, set(chosen))
            done |= {run.run_id for run in evidence.runs}
            progress(len(done & set(chosen)), len(chosen))
            del evidence

        def others() -> Iterator[Evidence]:
            rest = [run.run_id for run in runs if run.run_id not in done]
            return self._source.batches(rest, ask_nodes=False)

        return verifier.finish(others)


def _ahead(fetches: Iterator[Callable[[], Evidence]]) -> Iterator[Evidence]:
    """Yield batches, of which the next are being fetched while one is checked.

    Two at a time: while the nodes answer for one, the SuperLink reads what it has of the other.
    """
    pool = ThreadPoolExecutor(_FETCHED_AT_ONCE, "evidence")
    try:
        coming = deque(pool.submit(fetch) for fetch in islice(fetches, _FETCHED_AT_ONCE))
        while coming:
            evidence = coming.popleft().result()
            coming.extend(pool.submit(fetch) for fetch in islice(fetches, 1))
            yield evidence
            # It is not kept while the next one is waited for.
            del evidence
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
