"""``fedstate verify``: compare what the nodes hold with what the server was told."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedstate.records import runs_directory
from fedstate.verify.evidence import RunEvidence, read_runs
from fedstate.verify.report import verify as verify_runs

UNKNOWN = "unknown"


class Format(StrEnum):
    """How a command shows its result."""

    TABLE = "table"
    JSON = "json"


def verify(
    run_ids: Annotated[list[str] | None, typer.Argument(help="Which runs; all, if none.")] = None,
    superlink: Annotated[
        str | None, typer.Option(help="The SuperLink's connection; the default one, if none.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Where the runs' records are.")] = None,
    form: Annotated[Format, typer.Option("--format", help="A table, or JSON.")] = Format.TABLE,
) -> None:
    """Compare what the nodes hold with what the server was told; exit code 1 if they differ."""
    evidence = read_runs(runs or runs_directory(), run_ids)
    report = verify_runs(evidence, _statuses(evidence, superlink))
    if form is Format.JSON:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        Console().print(report.to_table())
    if not report.passed:
        raise typer.Exit(1)


def _statuses(runs: list[RunEvidence], superlink: str | None) -> dict[str, str]:
    # It imports flwr, for which a container's health check must not wait.
    from fedstate.flower.control import RunNotFoundError, control_by_name

    statuses = {}
    with control_by_name(superlink) as link:
        for run in runs:
            try:
                statuses[run.run_id] = link.run_status(int(run.run_id))
            except RunNotFoundError:
                statuses[run.run_id] = UNKNOWN
    return statuses
