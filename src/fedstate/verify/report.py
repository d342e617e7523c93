"""The verdict: what the checks found, run by run and node by node, as data and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.findings import CHECKS, Finding, Level, worst
from fedstate.verify.steps import NodeSteps
from fedstate.verify.told import Entry, Holding, ToldRun

SCHEMA = "fedstate.report/2"
COMPLETED = "finished:completed"
VERDICTS = {Level.TOLD: "kept", Level.UNKNOWN: "not known", Level.BROKEN: "broken"}


@dataclass(frozen=True)
class NodeResult:
    """What is to be said of one node in one run.

    Attributes
    ----------
    node_id : int
        The node.
    asked : str
        Whether it has shown its log: ``answered``, or why not.
    steps, failed : int
        How many steps it made, and how many of them failed.
    rounds : int
        In how many rounds it trained.
    stored : str
        The digest of the state that its last step stored.
    state_bytes, seconds
        The size of that state in bytes, and seconds of its steps in the app.
    rows : list of dict
        Every step, if the report has them.
    """

    node_id: int
    asked: str
    steps: int
    failed: int
    rounds: int
    stored: str
    state_bytes: int
    seconds: float
    rows: list[dict[str, Any]] | None


@dataclass
class RunResult:
    """What is to be said of one run."""

    run_id: int
    status: str
    rounds: int
    nodes: list[NodeResult]
    told: ToldRun | None
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Add a finding that came up between runs."""
        self.findings.append(finding)

    @property
    def level(self) -> Level:
        """The verdict on the run."""
        return worst(self.findings)

    def level_of(self, node_id: int) -> Level:
        """Return the verdict on one node in the run."""
        return worst(each for each in self.findings if each.place.node_id == node_id)


@dataclass(frozen=True)
class Report:
    """The runs that were looked at, and what the checks found.

    Attributes
    ----------
    runs : list of RunResult
        The runs.
    elsewhere : list of Finding
        Findings about a node alone.
    signatures : int
        How many signatures were verified; each vouches for the rows that lead to its own.
    """

    runs: list[RunResult]
    elsewhere: list[Finding] = field(default_factory=list)
    signatures: int = 0

    @property
    def findings(self) -> Iterator[Finding]:
        """All findings, run by run."""
        for run in self.runs:
            yield from run.findings
        yield from self.elsewhere

    @property
    def level(self) -> Level:
        """The verdict: the worst of all findings."""
        return worst(self.findings)

    @property
    def exit_code(self) -> int:
        """0 if every promise was kept, 1 if one was broken, 2 if it is not known."""
        return {Level.TOLD: 0, Level.BROKEN: 1, Level.UNKNOWN: 2}[self.level]

    def of_check(self, name: str) -> list[Finding]:
        """Return what one check found that is worse than worth knowing."""
        return [f for f in self.findings if f.check == name and f.level > Level.TOLD]

    def to_json(self) -> dict[str, Any]:
        """Return the report in its documented form, ``fedstate.report/2``."""
        told = [run.told for run in self.runs if run.told]
        return {
            "schema": SCHEMA,
            "flwr": ", ".join(sorted({each.flwr for each in told})),
            "engine": ", ".join(sorted({each.engine for each in told})),
            "runs": [_run(run) for run in self.runs],
            "checks": [self._check(name) for name in CHECKS],
            "passed": self.level == Level.TOLD,
            "verdict": VERDICTS[self.level],
            "signatures": self.signatures,
            "findings": [_finding(each) for each in self.findings],
        }

    def _check(self, name: str) -> dict[str, Any]:
        found = self.of_check(name)
        return {
            "name": name,
            "passed": not found,
            "detail": " ".join(map(str, found)) or "nothing amiss",
            "verdict": VERDICTS[worst(found)],
        }


def run_result(
    run: RunEvidence,
    nodes: Sequence[NodeSteps],
    evidence: Evidence,
    findings: list[Finding],
    *,
    keep_steps: bool,
) -> RunResult:
    """Return what is to be said of a run."""
    results = [
        _node_result(steps, evidence.answer(steps.node.node_id).state, keep_steps)
        for steps in nodes
    ]
    rounds = max((node.rounds for node in results), default=0)
    if run.told is not None:
        rounds = run.told.rounds or rounds
    return RunResult(run.run_id, run.status, rounds, results, run.told, findings)


def _node_result(steps: NodeSteps, asked: str, keep_steps: bool) -> NodeResult:
    records = [step.record for step in steps.chain]
    deliveries = steps.node.deliveries
    trained = [each for each in deliveries or records if each.action.startswith("train")]
    named = {each.group_id for each in trained if each.group_id}
    last = next((each for each in reversed(records) if each.stores), None)
    return NodeResult(
        node_id=steps.node.node_id,
        asked=asked,
        steps=sum(record.is_step for record in records) or len(deliveries),
        failed=sum(record.failed for record in records),
        rounds=len(named) or len(trained),
        stored=last.stored.hex() if last else "",
        state_bytes=last.state_bytes if last else 0,
        seconds=sum(record.app_seconds for record in records),
        rows=[_row(step.record) for step in steps.chain] if keep_steps else None,
    )


def _row(record: Any) -> dict[str, Any]:
    return {
        "step": record.run_sequence,
        "round": record.group_id,
        "action": record.action,
        "message_id": record.message_id,
        "outcome": record.outcome,
        "reason": record.reason,
        "source_run": str(record.source_run) if record.source_run else "",
        "source_step": record.source_number,
        "handed_out": record.handed_out.hex(),
        "stored": record.stored.hex(),
        "state_bytes": record.state_bytes,
        "new_bytes": record.new_bytes,
        "app_seconds": record.app_seconds,
        "commit_seconds": record.commit_seconds,
        "time": record.time,
    }


def _run(run: RunResult) -> dict[str, Any]:
    told = {each.node_id: each for each in run.told.holdings} if run.told else {}
    known = {str(node.node_id) for node in run.nodes}
    nodes = [_node(run, node, told.get(str(node.node_id))) for node in run.nodes]
    # In simulation, the app alone speaks of its nodes.
    nodes += [_told_node(holding) for name, holding in told.items() if name not in known]
    return {
        "run_id": str(run.run_id),
        "status": run.status,
        "verdict": VERDICTS[run.level],
        "rounds": run.rounds,
        "nodes": nodes,
    }


def _node(run: RunResult, node: NodeResult, told: Holding | None) -> dict[str, Any]:
    described = asdict(node)
    return {
        **(_told_node(told) if told else {"partition_id": None, "histories": {}, "entries": []}),
        "node_id": str(node.node_id),
        "verdict": VERDICTS[run.level_of(node.node_id)],
        "asked": node.asked,
        "failed": node.failed,
        "stored": node.stored,
        "state_bytes": node.state_bytes,
        "seconds": node.seconds,
        "step_count": node.steps,
        "steps": described["rows"],
    }


def _told_node(holding: Holding) -> dict[str, Any]:
    """Return what the app has told of a node: all that `fedstate.report/1` had of it."""
    return {
        "node_id": holding.node_id,
        "partition_id": holding.partition_id,
        "histories": {name: list(values) for name, values in holding.histories.items()},
        "entries": [
            {
                "sequence": entry.sequence,
                "round": entry.round,
                "message_id": entry.message_id,
                "parent": entry.parent,
                "digest": entry.digest,
                "loss": value,
            }
            for entry, value in _valued(holding)
        ],
    }


def _valued(holding: Holding) -> Iterator[tuple[Entry, float | None]]:
    """Give every entry a value of the history, also where the history is shorter."""
    history = iter(holding.losses)
    for entry in holding.entries:
        yield entry, next(history, None)


def _finding(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "check": finding.check,
        "kind": finding.kind,
        "verdict": VERDICTS[finding.level],
        "run_id": str(place.run_id) if place.run_id else None,
        "node_id": None if place.node_id is None else str(place.node_id),
        "step": finding.step or None,
        "parties": list(finding.parties),
        "text": str(finding),
    }
