"""Verifying runs at a SuperLink: which ones, in which batches, and what for."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.report import Report
from fedstate.verify.selection import Selection
from fedstate.verify.superlink import SuperLinkSource
from fedstate.verify.verifier import Verifier

# A report with every step of more runs than this would take hundreds of megabytes.
RUNS_WITH_STEPS = 20


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
        verifier = Verifier(keep_steps=len(chosen) <= RUNS_WITH_STEPS)
        done: set[int] = set()
        for evidence in _ahead(self._source.batches(chosen)):
            verifier.add(evidence, set(chosen))
            done |= {run.run_id for run in evidence.runs}
            progress(len(done & set(chosen)), len(chosen))
            del evidence

        def others() -> Iterator[Evidence]:
            rest = [run.run_id for run in runs if run.run_id not in done]
            return self._source.batches(rest, ask_nodes=False)

        return verifier.finish(others)


def _ahead(batches: Iterator[Evidence]) -> Iterator[Evidence]:
    """Yield batches, the next of which is being fetched while one is checked."""
    pool = ThreadPoolExecutor(1, "evidence")
    try:
        coming = pool.submit(next, batches, None)
        while (evidence := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield evidence
            # It is not kept while the next one is waited for.
            del evidence
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
