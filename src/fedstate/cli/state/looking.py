"""Looking into a store: what is there, and what happened to it."""

from datetime import datetime
from typing import Annotated

import typer

from fedstate.cli.examples import examples
from fedstate.cli.human import human_seconds, human_size, human_time
from fedstate.cli.output import Column, Format, Shown, show_rows
from fedstate.cli.place import AnyRun, Key, Node, State, key_of, place_of

app = typer.Typer()


def _time_of(text: str) -> str:
    return human_time(datetime.fromisoformat(text).timestamp())


_LOG_COLUMNS = (
    Column("time", text=_time_of),
    Column("run"),
    Column("step", right=True),
    Column("round", right=True),
    Column("action"),
    Column("outcome"),
    Column("app_seconds", "app", human_seconds, right=True),
    Column("commit_seconds", "commit", human_seconds, right=True),
    Column("state_bytes", "state", human_size, right=True),
    Column("new_bytes", "new", human_size, right=True),
    Column("reason"),
)


@app.command(
    epilog=examples(
        "fedstate state log --node 2 --failed",
        "fedstate state log 4711 --node 2",
        "fedstate state log 4711 --state node.backup --format csv",
    )
)
def log(
    run: AnyRun = None,
    state: State = None,
    node: Node = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, and messages that were refused.")
    ] = False,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Show the node's log: all attempts at steps, the oldest first, with the reasons of failures.

    The SuperNode may run.
    """
    from fedstate.store.read_only import read_only
    from fedstate.store.step_rows import step_rows
    from fedstate.verify.evidence import RunEvidence
    from fedstate.verify.selection import Selection

    with read_only(place_of(state, node), key_of(key)) as store:
        there = [RunEvidence(chain.run_id) for chain in store.chains()]
        names = () if run is None else (run,)
        run_ids = Selection(names, whose="The node's store").among(there) if names else []
        show_rows(step_rows(store, run_ids, failed=failed), _LOG_COLUMNS, shown)
