"""The verdict as a person wants to see it: runs and nodes in a table, then what was found."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedstate.verify.findings import CHECKS, Finding, Level
from fedstate.verify.report import VERDICTS, NodeResult, Report, RunResult

SHOWN_FINDINGS = 8
SHOWN_RUNS = 200

_STYLES = {Level.TOLD: "green", Level.UNKNOWN: "yellow", Level.BROKEN: "bold red"}
_MARKS = {Level.TOLD: "✓", Level.UNKNOWN: "?", Level.BROKEN: "✗"}


def to_table(report: Report) -> RenderableType:
    """Return a report as a table, with the checks' verdicts below."""
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    table.add_column("Run", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Node", no_wrap=True)
    for column in ("Rounds", "Steps", "Failed"):
        table.add_column(column, justify="right")
    table.add_column("State", no_wrap=True)
    table.add_column("Asked")
    table.add_column("Told", no_wrap=True)
    table.add_column("Verdict")
    shown = report.runs[:SHOWN_RUNS]
    for run in shown:
        _add(table, run)
    more = len(report.runs) - len(shown)
    hidden = [Text(f"and {more} more runs; --format json has all of them")] if more else []
    return Group(table, *hidden, _verdicts(report))


def _add(table: Table, run: RunResult) -> None:
    name, status = str(run.run_id), run.status
    if not run.nodes:
        row = ("-", "-", "-", "-", "-", "-", "-", _verdict(run.level))
        table.add_row(name, status, *row)
    for node in run.nodes:
        table.add_row(name, status, *_cells(run, node))
        name = status = ""


def _cells(run: RunResult, node: NodeResult) -> tuple[str | Text, ...]:
    return (
        str(node.node_id),
        str(node.rounds),
        str(node.steps),
        str(node.failed),
        node.stored[:8] or "-",
        node.asked,
        _told(run, node),
        _verdict(run.level_of(node.node_id)),
    )


def _told(run: RunResult, node: NodeResult) -> str:
    """Return what the app told of the node: the length and the last value of its history."""
    holding = run.told.holding(str(node.node_id)) if run.told else None
    if holding is None:
        return "-"
    last = f", {holding.history[-1]:.4f}" if holding.history else ""
    return f"{len(holding.history)} values{last}"


def _verdict(level: Level) -> Text:
    return Text(VERDICTS[level], style=_STYLES[level])


def _verdicts(report: Report) -> Text:
    text = Text()
    for name in CHECKS:
        found = [each for each in report.findings if each.check == name]
        level = max((each.level for each in found), default=Level.TOLD)
        text.append(f"{_MARKS[level]} {name}\n", style=_STYLES[level])
        ordered = sorted(found, key=lambda each: -each.level)
        _append(text, ordered)
    text.rstrip()
    return text


def _append(text: Text, findings: Sequence[Finding]) -> None:
    for finding in findings[:SHOWN_FINDINGS]:
        text.append(f"    {_MARKS[finding.level] if finding.level else '·'} {finding}\n")
    if (hidden := len(findings) - SHOWN_FINDINGS) > 0:
        text.append(f"    and {hidden} more; --format json has all of them\n")
