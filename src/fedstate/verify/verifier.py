"""All checks over runs, batch by batch, and what runs have to do with each other."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from fedstate.verify.agreement import agreement
from fedstate.verify.beginnings import Claims
from fedstate.verify.beside import contradictions, simulated
from fedstate.verify.completeness import completeness
from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.findings import CHECKS, Finding, Level, Place
from fedstate.verify.isolation import States, Stores, isolation
from fedstate.verify.persistence import Stray, persistence
from fedstate.verify.plain import is_plain
from fedstate.verify.report import Report, RunResult, run_result
from fedstate.verify.rollback import undone
from fedstate.verify.signatures import Keys
from fedstate.verify.steps import NodeSteps, put_together

# One second of work; beyond it, one signature for each chain is verified.
SIGNATURE_BUDGET = 2000


class Verifier:
    """Checks runs, and forgets their rows: what it keeps of a step is the digest of its state.

    Parameters
    ----------
    budget : int
        How many signatures are verified one by one.
    keep_steps : bool
        Whether the report has every step.
    """

    def __init__(self, *, budget: int = SIGNATURE_BUDGET, keep_steps: bool = True) -> None:
        self._keys = Keys({}, budget)
        self._keep_steps = keep_steps
        self._states = States()
        self._stores = Stores()
        self._claims = Claims()
        self._strays: list[Stray] = []
        self._results: dict[int, RunResult] = {}

    @property
    def seeks_sources(self) -> bool:
        """Whether other runs may have stored a state that was found in a run."""
        return bool(self._strays) or self._claims.open(self._states)

    def add(self, evidence: Evidence, only: Collection[int] | None = None) -> None:
        """Check runs.

        Parameters
        ----------
        evidence : Evidence
            The runs of one or more run series, each series as a whole.
        only : collection of int, optional
            The runs that are to be reported; without it, all of them.
        """
        self._keys.update(evidence.keys, evidence.former_keys)
        for node_id, answer in evidence.answers.items():
            self._stores.add(answer.store_id, node_id, Place(0, node_id))
        put = self._put_together(evidence.runs)
        findings: dict[int, list[Finding]] = {run.run_id: [] for run in evidence.runs}
        for found in self._persistence(evidence, put):
            if isinstance(found, Stray):
                if only is None or found.place.run_id in only:
                    self._strays.append(found)
            else:
                findings[found.place.run_id].append(found)
        for run in evidence.runs:
            if only is not None and run.run_id not in only:
                continue
            mine = findings[run.run_id]
            mine += self._of_run(evidence, run, put[run.run_id])
            self._results[run.run_id] = run_result(
                run, put[run.run_id], evidence, mine, keep_steps=self._keep_steps
            )

    def index(self, evidence: Evidence) -> None:
        """Note what runs have stored, for states that are somewhere else; check nothing."""
        for run in evidence.runs:
            for node in run.nodes.values():
                self._note(put_together(run.run_id, node))

    def _put_together(self, runs: Iterable[RunEvidence]) -> dict[int, list[NodeSteps]]:
        put = {
            run.run_id: [put_together(run.run_id, node) for _, node in sorted(run.nodes.items())]
            for run in runs
        }
        every = list(chain.from_iterable(put.values()))
        self._keys.vouch(every)
        for steps in every:
            self._note(steps)
            self._stores.add_steps(steps)
        return put

    def _note(self, steps: NodeSteps) -> None:
        self._states.add(steps)
        self._claims.index(steps)

    def _persistence(
        self, evidence: Evidence, put: dict[int, list[NodeSteps]]
    ) -> Iterator[Finding | Stray]:
        series: dict[tuple[int, int], list[tuple[RunEvidence, NodeSteps]]] = {}
        for run in evidence.runs:
            for steps in put[run.run_id]:
                # A run that the SuperLink does not know has a series of its own.
                key = (run.series_id or run.run_id, steps.node.node_id)
                series.setdefault(key, []).append((run, steps))
        for (_, node_id), of_node in series.items():
            yield from persistence(of_node, evidence.answer(node_id))

    def _of_run(
        self, evidence: Evidence, run: RunEvidence, nodes: Sequence[NodeSteps]
    ) -> Iterator[Finding]:
        if not (run.witnessed or run.node_alone):
            yield from _unwitnessed(run)
            return
        for steps in nodes:
            answer = evidence.answer(steps.node.node_id)
            if is_plain(run, steps, answer):
                continue
            yield from isolation(run, steps, self._keys)
            for finding in completeness(run, steps, answer):
                # Where there is nothing to check, no check has passed.
                alike = CHECKS if finding.kind == "no-log" else (finding.check,)
                yield from (replace(finding, check=check) for check in alike)
            yield from agreement(run, steps, answer)
            yield from self._claims.add(run, steps)
        taken_back = {steps.node.node_id: undone(steps) for steps in nodes} if run.told else {}
        yield from contradictions(run, taken_back)

    def finish(self, others: Callable[[], Iterable[Evidence]] | None = None) -> Report:
        """Return the report.

        Parameters
        ----------
        others : callable, optional
            Returns the evidence of all other runs; it is called if a state was found where it has
            no business, to find out whose it is.
        """
        if self.seeks_sources and others is not None:
            for evidence in others():
                self.index(evidence)
        across = [*self._states.leaks(self._strays), *self._claims.findings(self._states)]
        across += [*self._stores.copies(self._keys.encoded)]
        elsewhere = []
        for finding in across:
            if (result := self._results.get(finding.place.run_id)) is not None:
                result.add(finding)
            else:
                elsewhere.append(finding)
        return Report(list(self._results.values()), elsewhere, self._keys.verified)


def _unwitnessed(run: RunEvidence) -> Iterator[Finding]:
    if run.told is not None and run.told.engine == "simulation":
        yield from simulated(run)
        return
    text = "the SuperLink keeps no evidence of it (Flower's own, or the Simulation Engine)"
    for check in CHECKS:
        yield Finding(check, "no-evidence", Level.UNKNOWN, Place(run.run_id), text)
    yield from contradictions(run)
