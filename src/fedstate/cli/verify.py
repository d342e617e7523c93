"""``fedstate verify``: compare what the nodes hold with what the server was told."""

import json
import os
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedstate.errors import EvidenceError
from fedstate.verify.evidence import RunEvidence, read_runs
from fedstate.verify.report import verify as verify_runs

LIST_SECONDS = 60.0
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
    # It pulls in flwr, for which a container's health check must not wait.
    from fedstate.grids.recording import runs_directory

    evidence = read_runs(runs or runs_directory(), run_ids)
    report = verify_runs(evidence, _statuses(evidence, superlink))
    if form is Format.JSON:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        Console().print(report.to_table())
    if not report.passed:
        raise typer.Exit(1)


def _statuses(runs: list[RunEvidence], superlink: str | None) -> dict[str, str]:
    command = ["flwr", "list", *([superlink] if superlink else []), "--format", "json"]
    environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    listing = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIST_SECONDS,
        check=False,
    )
    try:
        answer = json.loads(listing.stdout)
        statuses = {str(run["run-id"]): run["status"] for run in answer["runs"]}
    except (ValueError, KeyError):
        reason = (listing.stderr or listing.stdout).strip().splitlines()[-1:] or ["no answer"]
        raise EvidenceError(f"`{' '.join(command)}` failed: {reason[0]}") from None
    return {run.run_id: statuses.get(run.run_id, UNKNOWN) for run in runs}
