"""The verdict as a person wants to see it: runs and nodes in tables, then what was found."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fedstate.verify.findings import CHECKS, Finding, Level, printable
from fedstate.verify.report import VERDICTS, NodeResult, Report, RunResult
from fedstate.verify.told import Holding

SHOWN_FINDINGS = 8
# Of more runs each has one line, and its nodes are named where something was found.
RUNS_WITH_NODES = 12

COLUMNS = (
    "run",
    "status",
    "node",
    "rounds",
    "steps",
    "failed",
    "state",
    "asked",
    "told",
    "verdict",
)

_STYLES = {Level.TOLD: "green", Level.UNKNOWN: "yellow", Level.BROKEN: "bold red"}
_MARKS = {Level.TOLD: "✓", Level.UNKNOWN: "?", Level.BROKEN: "✗"}


def to_table(report: Report) -> RenderableType:
    """Return a report as tables, with the checks' verdicts below."""
    if len(report.runs) > RUNS_WITH_NODES:
        return Group(_spaced(_overview(report.runs)), _verdicts(report))
    return Group(*(_spaced(_nodes(run)) for run in report.runs), _verdicts(report))


def _spaced(table: Table) -> Padding:
    return Padding(table, (0, 0, 1, 0), expand=False)


def to_rows(report: Report) -> Iterator[dict[str, str | int]]:
    """Yield a row for each node in each run, with the `COLUMNS`."""
    for run in report.runs:
        for node in run.nodes:
            told = run.told.holding(str(node.node_id)) if run.told else None
            yield {
                "run": str(run.run_id),
                "status": run.status,
                "node": str(node.node_id),
                "rounds": node.rounds,
                "steps": node.steps,
                "failed": node.failed,
                "state": node.stored,
                "asked": node.asked,
                "told": _histories(told) if told else "",
                "verdict": VERDICTS[run.level_of(node.node_id)],
            }


def _overview(runs: Sequence[RunResult]) -> Table:
    table = _table("Run", "Status", right=("Nodes", "Rounds", "Steps", "Failed"))
    for run in runs:
        steps = sum(node.steps for node in run.nodes)
        failed = sum(node.failed for node in run.nodes)
        numbers = map(str, (len(run.nodes), run.rounds, steps, failed))
        table.add_row(str(run.run_id), run.status, *numbers, _verdict(run.level))
    return table


def _nodes(run: RunResult) -> Table:
    table = _table("Node", right=("Rounds", "Steps", "Failed"), rest=("State", "Asked", "Told"))
    table.title = f"run {run.run_id}, {run.status}"
    table.title_justify, table.title_style = "left", "bold"
    for node in run.nodes:
        numbers = map(str, (node.rounds, node.steps, node.failed))
        told = _told(run, node)
        verdict = _verdict(run.level_of(node.node_id))
        table.add_row(
            str(node.node_id), *numbers, node.stored[:8] or "-", node.asked, told, verdict
        )
    for node_id, values in _told_alone(run):
        table.add_row(Text(printable(node_id)), *"---", "-", "-", values, _verdict(run.level))
    return table


def _table(*left: str, right: Sequence[str] = (), rest: Sequence[str] = ()) -> Table:
    # Narrow: what an app has told has to fit beside the rest into 80 columns.
    table = Table(box=box.SIMPLE, padding=0, pad_edge=False, show_edge=False)
    for column in left:
        table.add_column(column, no_wrap=True)
    for column in right:
        table.add_column(column, justify="right")
    for column in rest:
        table.add_column(column)
    table.add_column("Verdict")
    return table


def _told(run: RunResult, node: NodeResult) -> Text:
    holding = run.told.holding(str(node.node_id)) if run.told else None
    # As text: brackets in a name are no markup.
    return Text(_histories(holding) if holding else "-")


def _told_alone(run: RunResult) -> Iterator[tuple[str, Text]]:
    """Yield the nodes of which the app alone speaks, as in simulation."""
    known = {str(node.node_id) for node in run.nodes}
    for holding in run.told.holdings if run.told else ():
        if holding.node_id not in known:
            yield holding.node_id, Text(_histories(holding))


def _histories(holding: Holding) -> str:
    """Return the histories that an app has told of, with the last value of each."""
    ends = (
        f"{printable(name)} {values[-1]:.4g}" if values else f"{printable(name)} -"
        for name, values in holding.histories.items()
    )
    return ", ".join(ends) or "-"


def _verdict(level: Level) -> Text:
    return Text(VERDICTS[level], style=_STYLES[level])


def _verdicts(report: Report) -> Text:
    text = Text()
    for name in CHECKS:
        found = [each for each in report.findings if each.check == name]
        level = max((each.level for each in found), default=Level.TOLD)
        text.append(f"{_MARKS[level]} {name}\n", style=_STYLES[level])
        _append(text, sorted(found, key=lambda each: -each.level))
    text.rstrip()
    return text


def _append(text: Text, findings: Sequence[Finding]) -> None:
    for finding in findings[:SHOWN_FINDINGS]:
        text.append(f"    {_MARKS[finding.level] if finding.level else '·'} {finding}\n")
    if (hidden := len(findings) - SHOWN_FINDINGS) > 0:
        text.append(f"    and {hidden} more; --format json has all of them\n")
