"""The verdict: all checks over all runs, as data, as a table, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedstate.verify.checks import CHECKS, Finding, Place
from fedstate.verify.evidence import Holding, RunEvidence

SCHEMA = "fedstate.report/1"
COMPLETED = "finished:completed"
SHOWN_FINDINGS = 5


@dataclass(frozen=True)
class CheckResult:
    """A check's name, and what it found wrong."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.findings


@dataclass(frozen=True)
class Report:
    """The runs that were looked at, how they ended, and what the checks found."""

    runs: tuple[RunEvidence, ...]
    statuses: Mapping[str, str]
    checks: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the report in its documented form, ``fedstate.report/1``."""
        return {
            "schema": SCHEMA,
            "flwr": ", ".join(sorted({run.flwr for run in self.runs})),
            "engine": ", ".join(sorted({run.engine for run in self.runs})),
            "runs": [
                {
                    "run_id": run.run_id,
                    "status": self.statuses[run.run_id],
                    "rounds": run.rounds,
                    "nodes": [_node(holding) for holding in run.holdings],
                }
                for run in self.runs
            ],
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "detail": " ".join(map(str, check.findings)) or "nothing amiss",
                }
                for check in self.checks
            ],
            "passed": self.passed,
        }

    def to_table(self) -> RenderableType:
        """Return what a person wants to see: a table for each run, and the checks' verdicts."""
        verdicts = Text()
        for check in self.checks:
            verdicts.append(
                f"{'✓' if check.passed else '✗'} {check.name}\n",
                style="green" if check.passed else "bold red",
            )
            for finding in check.findings[:SHOWN_FINDINGS]:
                verdicts.append(f"    {finding}\n")
            if (hidden := len(check.findings) - SHOWN_FINDINGS) > 0:
                verdicts.append(f"    and {hidden} more; --format json has all of them\n")
        verdicts.rstrip()
        return Group(*(self._table(run) for run in self.runs), verdicts)

    def _table(self, run: RunEvidence) -> Table:
        table = Table(
            title=f"run {run.run_id}, {self.statuses[run.run_id]}, on {run.engine}",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE,
            padding=(0, 1),
            pad_edge=False,
        )
        table.add_column("Node", no_wrap=True)
        for column in ("Part", "Rounds", "History", "Loss"):
            table.add_column(column, justify="right")
        table.add_column("State", no_wrap=True)
        table.add_column("Verdict")
        for holding in run.holdings:
            table.add_row(
                holding.node_id,
                str(holding.partition_id),
                str(sum(step.node_id == holding.node_id for step in run.steps)),
                str(len(holding.history)),
                f"{holding.history[-1]:.4f}" if holding.history else "-",
                holding.digest[:8],
                self._verdict(run, holding),
            )
        return table

    def _verdict(self, run: RunEvidence, holding: Holding) -> Text:
        place = Place(run.run_id, holding.node_id)
        failed = [c.name for c in self.checks if any(place in f.places for f in c.findings)]
        return Text(", ".join(failed), style="bold red") if failed else Text("ok", style="green")


def verify(runs: Sequence[RunEvidence], statuses: Mapping[str, str]) -> Report:
    """Check runs against the promises of client state.

    Parameters
    ----------
    runs : sequence of RunEvidence
        What was recorded of them.
    statuses : mapping of str to str
        Each run's status, as ``flwr list`` shows it; a run that did not complete fails the
        check of completeness.
    """
    results = []
    for name, check in CHECKS.items():
        findings = list(check(runs))
        if name == "completeness":
            findings += [
                Finding(
                    f"run {run.run_id}: its status is {statuses[run.run_id]}.",
                    (Place(run.run_id),),
                )
                for run in runs
                if statuses[run.run_id] != COMPLETED
            ]
        results.append(CheckResult(name, tuple(findings)))
    return Report(tuple(runs), statuses, tuple(results))


def _node(holding: Holding) -> dict[str, Any]:
    return {
        "node_id": holding.node_id,
        "partition_id": holding.partition_id,
        "entries": [
            {
                "sequence": entry.sequence,
                "round": entry.round,
                "message_id": entry.message_id,
                "parent": entry.parent,
                "digest": entry.digest,
                "loss": loss,
            }
            for entry, loss in zip(
                holding.entries, _padded(holding.history, len(holding.entries)), strict=True
            )
        ],
    }


def _padded(history: Sequence[float], length: int) -> list[float | None]:
    """Give every entry a loss, also where the history is shorter than the ledger."""
    return [*history[:length], *[None] * (length - len(history))]
