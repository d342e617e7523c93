"""``fedstate demo``: the main job in one command."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedstate.cli.examples import examples
from fedstate.interrupts import terminate_as_interrupt

EXAMPLES = examples("fedstate demo", "fedstate demo --nodes 5 --rounds 10 --output out")


def demo(
    app: Annotated[Path, typer.Option(help="The Flower App.")] = Path("app"),
    output: Annotated[Path, typer.Option(help="Where the results go.")] = Path("out/demo"),
    nodes: Annotated[int, typer.Option(help="How many SuperNodes.")] = 3,
    rounds: Annotated[int, typer.Option(help="How many rounds each run has.")] = 5,
) -> None:
    """Start a federation, two runs at once, verify them, and show the result."""
    from fedstate.demo import run_demo
    from fedstate.verify.table import to_table

    console = Console()
    with terminate_as_interrupt():
        try:
            report = run_demo(
                app, output, nodes=nodes, rounds=rounds, seeds=(1, 2), console=console
            )
        except KeyboardInterrupt:
            console.print("Interrupted; everything is stopped.")
            raise typer.Exit(130) from None
    console.print(to_table(report))
    console.print(f"{output}/report.json and {output}/loss.png are written.")
    raise typer.Exit(report.exit_code)
