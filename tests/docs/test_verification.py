"""docs/verification.md shows a run in simulation as `fedstate verify` shows it."""

import io
from pathlib import Path

from rich.console import Console

from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.table import to_table
from fedstate.verify.told import Entry, Holding, ToldRun
from fedstate.verify.verifier import Verifier

PAGE = (Path(__file__).parents[2] / "docs" / "verification.md").read_text()
RUN = "8841177"
LOSSES = {"3517019551": 0.4113, "9082213760": 0.3986}


def test_a_run_in_simulation_is_shown_as_it_is() -> None:
    holdings = tuple(
        Holding(node, 0, "a", {"loss": (loss,)}, (Entry(1, RUN, node, 1, "m", "", "a"),))
        for node, loss in LOSSES.items()
    )
    told = ToldRun(RUN, "1.42.0", "simulation", {}, (), holdings, {})
    run = RunEvidence(int(RUN), status="finished:completed", witnessed=False, told=told)
    verifier = Verifier()
    verifier.add(Evidence([run]))
    report = verifier.finish()
    console = Console(width=98, file=io.StringIO(), no_color=True)
    console.print(to_table(report))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in shown.splitlines()]
    assert "\n".join(lines) in PAGE
    assert report.exit_code == 2
