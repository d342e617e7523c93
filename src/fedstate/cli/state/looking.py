"""Looking into a store: what is there, and what happened to it."""

from typing import Annotated

import typer

from fedstate.cli.examples import examples
from fedstate.cli.output import Format, Shown, show_rows
from fedstate.cli.place import Key, Node, State, key_of, place_of

app = typer.Typer()


@app.command(
    epilog=examples("fedstate state log --node 2", "fedstate state log --node 2 --failed")
)
def log(
    run: Annotated[int | None, typer.Argument(help="The ID of a run; all, if none.")] = None,
    state: State = None,
    node: Node = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, and messages that were refused.")
    ] = False,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """List the steps in the node's log, the oldest first; its SuperNode may run."""
    from fedstate.store.read_only import read_only
    from fedstate.store.step_rows import step_rows

    columns = ("time", "run", "round", "action", "outcome", "reason")
    with read_only(place_of(state, node), key_of(key)) as store:
        show_rows(step_rows(store, run, failed=failed), columns, shown)
