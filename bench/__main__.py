"""``python -m bench``: measure everything, show one table, write ``out/bench/``."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table

from bench.federations import OUTPUT
from bench.row import Row
from fedstate.errors import FedstateError
from fedstate.interrupts import terminate_as_interrupt

MODULES = (
    *("bench.state", "bench.store", "bench.looking", "bench.witness", "bench.concurrency"),
    *("bench.objects", "bench.requests", "bench.rounds", "bench.warmth", "bench.walls"),
    *("bench.rotation", "bench.refusals"),
)


def main() -> int:
    """Run every module's rows; return 1 if a measurement failed."""
    console = Console()
    names = [f"bench.{name}" for name in sys.argv[1:]] or MODULES
    # Modules that are named add to the table that is there.
    rows = _earlier() if sys.argv[1:] else []
    failed = False
    for name in names:
        if find_spec(name) is None:
            continue
        measure = cast("Callable[[], Iterator[Row]]", importlib.import_module(name).rows)
        try:
            with terminate_as_interrupt(), console.status(f"{name}: measuring"):
                for row in measure():
                    rows = [*(each for each in rows if each.name != row.name), row]
                    _write(rows)
                    console.print(f"{row.name}: {row.ours:.3g} against {row.peer:.3g} {row.unit}")
        except FedstateError as error:
            failed = True
            console.print(f"[red]{name}: {error}[/red]")
    _write(rows)
    _plot(rows, OUTPUT / "ratios.png")
    console.print(_table(rows))
    console.print(f"{OUTPUT / 'report.json'} and {OUTPUT / 'ratios.png'} have the same.")
    return 1 if failed else 0


def _table(rows: list[Row]) -> Table:
    table = Table("what", "ours", "peer", "unit", "ratio", "at most", title="fedstate bench")
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:g} {'met' if row.met else 'missed'}"
        table.add_row(
            row.name, f"{row.ours:.3g}", f"{row.peer:.3g}", row.unit, f"{row.ratio:.3g}", goal
        )
    return table


def _earlier() -> list[Row]:
    """Return the rows of the report that is there."""
    report = OUTPUT / "report.json"
    if not report.exists():
        return []
    fields = ("name", "ours", "peer", "goal", "unit")
    rows = json.loads(report.read_text())
    return [Row(**{field: row[field] for field in fields}) for row in rows]


def _write(rows: list[Row]) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    report = [row.to_json() for row in rows]
    (OUTPUT / "report.json").write_text(json.dumps(report, indent=2) + "\n")


def _plot(rows: list[Row], file: Path) -> None:
    """Draw each ratio as a bar, and its goal as a line across the bar."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 1 + 0.4 * len(rows)), layout="constrained")
    shown = rows[::-1]
    colours = ["tab:green" if row.met else "tab:red" for row in shown]
    axes.barh([row.name for row in shown], [row.ratio for row in shown], color=colours)
    for place, row in enumerate(shown):
        if row.goal is not None:
            axes.plot([row.goal, row.goal], [place - 0.4, place + 0.4], color="black")
    axes.axvline(1, color="grey", linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("ours / peer (black line: goal)")
    figure.savefig(file, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; out/bench/report.json has the rows that were done.")
