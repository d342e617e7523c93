"""``fedstate local``: a federation as plain processes on this machine."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedstate.interrupts import terminate_as_interrupt

app = typer.Typer(help="The federation as plain processes, for machines without Docker.")

WATCH_SECONDS = 1.0


@app.callback()
def local() -> None:
    """Run the federation as plain processes, for machines without Docker."""


@app.command()
def up(
    nodes: Annotated[int, typer.Option(help="How many SuperNodes.")] = 3,
    port: Annotated[int | None, typer.Option(help="The SuperLink's port; a free one.")] = None,
    directory: Annotated[
        Path, typer.Option(help="Where keys, state, logs and records are kept.")
    ] = Path(".fedstate"),
) -> None:
    """Start a SuperLink and SuperNodes, and keep them until Ctrl-C."""
    from fedstate.errors import FederationError
    from fedstate.local.federation import Federation

    console = Console()
    with terminate_as_interrupt():
        try:
            with (
                console.status("") as status,
                Federation(directory, nodes=nodes, port=port, progress=status.update) as here,
            ):
                status.stop()
                console.print(
                    f"SuperLink at {here.connection.address}, {nodes} SuperNodes connected; "
                    "Ctrl-C stops them. In another terminal:\n\n"
                    f"  export FLWR_HOME={here.directory}/flwr "
                    f"FEDSTATE_RUNS={here.runs_directory}\n"
                    f"  flwr run app {here.connection.name} --stream\n"
                    "  fedstate verify\n",
                    highlight=False,
                    soft_wrap=True,
                )
                while True:
                    ended = [each for each in here.processes if not each.running]
                    if ended:
                        raise FederationError(f"{ended[0].name} ended. {ended[0].log_end()}")
                    time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            console.print("Everything is stopped.")
