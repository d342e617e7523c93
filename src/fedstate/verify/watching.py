"""Following runs that go on: what they have done, and whether it holds, until they have ended."""

import time
from collections.abc import Callable

from rich.console import Console

from fedstate.verify.findings import Level
from fedstate.verify.report import VERDICTS, Report
from fedstate.verify.session import Session

# A verification asks every node, which reads all that it holds of the runs.
POLL_SECONDS = 5.0
# A long run takes longer to verify: to watch it takes no more than a tenth of the time.
_PAUSES = 9.0
_MOST_SECONDS = 60.0


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
        start = time.monotonic()
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
                console.print(f"  ✗ {finding}", style="bold red", highlight=False, markup=False)
        if ended:
            return report
        sleep(pause_after(time.monotonic() - start))


def pause_after(seconds: float) -> float:
    """Return how long to wait after a verification that has taken a time, both in seconds."""
    return min(max(POLL_SECONDS, _PAUSES * seconds), _MOST_SECONDS)
