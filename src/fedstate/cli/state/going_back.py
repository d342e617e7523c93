"""Going back: which states of a run are kept, and making one of them the present one."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedstate.cli.examples import examples
from fedstate.cli.human import human_size, human_time
from fedstate.cli.output import Column, Format, Shown, show_result, show_rows
from fedstate.cli.place import (
    Key,
    Node,
    Run,
    State,
    StateDirectory,
    changed_place_of,
    key_of,
    place_of,
)

if TYPE_CHECKING:
    from fedstate.store.kept_states import KeptState

app = typer.Typer()


def _time(text: str) -> str:
    return human_time(datetime.fromisoformat(text).timestamp())


_HUMAN: dict[str, Callable[[Any], str]] = {"time": _time}
_COLUMNS = (
    Column("state", right=True),
    Column("round", right=True),
    Column("time", text=_HUMAN["time"]),
    Column("size_bytes", "size", human_size, right=True),
    *(Column("digest"), Column("present")),
)


@app.command(
    epilog=examples(
        "fedstate state kept 4711 --node 2",
        "fedstate state kept 4711 --state node.backup --format json",
    )
)
def kept(
    run: Run,
    state: State = None,
    node: Node = None,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """List the states of a run that the node has, the oldest first; its SuperNode may run.

    The number of a state is that of the step that has made it, as in `fedstate state log`.
    """
    from fedstate.store.read_only import read_only

    place = place_of(state, node)
    with read_only(place, key_of(key)) as store:
        run_id = _named(run, [chain.run_id for chain in store.chains()], place)
        rows = [_row(each) for each in store.kept_states(run_id)]
    show_rows(rows, _COLUMNS, shown)


@app.command(epilog=examples("fedstate state rollback 4711 --to 4 --node 2"))
def rollback(
    run: Run,
    to: Annotated[int, typer.Option("--to", min=0, help="The number of a state that is kept.")],
    state: StateDirectory = None,
    node: Node = None,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Give a run a former state of its own again, between its steps; the SuperNode may run.

    The node's log says so, and `fedstate verify` too. States that came later stay kept.
    """
    directory = changed_place_of(state, node)
    now = _rolled_back(directory, run, to, key_of(key))
    show_result(
        {"directory": str(directory), "run": str(now.run_id), "rolled_back_to": to, **_row(now)},
        shown,
        _HUMAN,
    )


def _rolled_back(directory: Path, run: str, to: int, key: bytes | None) -> "KeptState":
    """Roll a run back here, or let the SuperNode do it that has the store open."""
    from fedstate.flower.stored_values import describe_state
    from fedstate.store.errors import StoreInUseError
    from fedstate.store.keeping_store import Origin
    from fedstate.store.node_store import NodeStore
    from fedstate.store.read_only import read_only
    from fedstate.store.requests import ask_to_roll_back

    try:
        store = NodeStore(directory, key=key, create=False)
    except StoreInUseError:
        with read_only(directory, key) as live:
            run_id = _named(run, [chain.run_id for chain in live.chains()], directory)
        return ask_to_roll_back(directory, Origin(run_id, to))
    with closing(store):
        run_id = _named(run, [each.run_id for each in store.runs()], directory)
        return store.roll_back(run_id, to, describe_state)


def _named(name: str, run_ids: list[int], place: Path) -> int:
    from fedstate.verify.evidence import RunEvidence
    from fedstate.verify.selection import Selection

    runs = [RunEvidence(run_id) for run_id in run_ids]
    return Selection((name,), whose=f"The node store in '{place}'").among(runs)[0]


def _row(kept_state: Any) -> dict[str, Any]:
    when = datetime.fromtimestamp(kept_state.committed_at, UTC)
    return {
        "state": kept_state.number,
        "round": kept_state.group_id,
        "time": when.isoformat(timespec="seconds"),
        "size_bytes": kept_state.size,
        "digest": kept_state.digest.hex(),
        "present": "yes" if kept_state.current else "",
    }
