"""Following runs that go on: what they have done, and whether it holds, until they have ended."""

import time
from collections.abc import Callable

from rich.console import Console

from fedstate.verify.findings import Level
from fedstate.verify.report import VERDICTS, Report
from fedstate.verify.session import Session

# A verification asks every node, which reads all that it holds of the runs.
POLL_SECONDS = 5.0


def follow(
    session: Session, console: Console, sleep: Callable[[float], object] = time.sleep
) -> Report:
    """Verify runs again and again until all have ended; return the last report.

    A line is printed for each change: another step, another status, another finding.
    """
    shown: dict[int, str] = {}
    told: set[str] = set()
    while True:
        # The statuses first: a run that had ended is verified once more as a whole.
        ended = all(run.finished for run in session.selected())
        report = session.verify()
        for run in report.runs:
            steps, failed = (
                sum(getattr(node, what) for node in run.nodes) for what in ("steps", "failed")
            )
            line = f"run {run.run_id}: {run.status}, round {run.rounds}, {steps} steps"
            line += f", {failed} failed" if failed else ""
            line += f", {VERDICTS[run.level]}"
            if shown.get(run.run_id) != line:
                shown[run.run_id] = line
                console.print(line, highlight=False)
        for finding in report.findings:
            if finding.level is Level.BROKEN and str(finding) not in told:
                told.add(str(finding))
                console.print(f"  ✗ {finding}", style="bold red", highlight=False)
        if ended:
            return report
        sleep(POLL_SECONDS)
