"""What states hold: histories, what has changed between two of them, and files of both."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedstate.cli import completion
from fedstate.cli.examples import examples
from fedstate.cli.output import Column, Format, Shown, console, described, show_result, show_rows
from fedstate.cli.place import Key, Node, RunState, State, key_of, place_of, places_of
from fedstate.errors import SettingError
from fedstate.inspection.export.formats import Format as FileFormat

if TYPE_CHECKING:
    from fedstate.inspection import Store
    from fedstate.state import History

app = typer.Typer()


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


_CHANGES = (
    *(Column("value"), Column("part"), Column("change")),
    Column("l2", "L2", _number, right=True),
    Column("relative", text=_number, right=True),
    Column("max_abs", "largest", _number, right=True),
    Column("nan_before", "NaN before", right=True),
    Column("nan_after", "NaN after", right=True),
    Column("detail"),
)


@app.command(
    epilog=examples(
        "fedstate state history 4711 --node 2",
        "fedstate state history 4711 loss --node 2",
        "fedstate state history 4711 loss --node 2 --plot",
        "fedstate state history 4711 --state node.backup --png loss.png",
    )
)
def history(
    run: RunState,
    name: Annotated[
        str | None,
        typer.Argument(help="A history; all, if none.", autocompletion=completion.value_names),
    ] = None,
    state: State = None,
    node: Node = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw it in the terminal.")] = False,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw it into this file, which must not exist.")
    ] = None,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Show the histories of a run: their numbers, or a plot of them."""
    from fedstate.inspection.drawing import in_picture, in_text
    from fedstate.inspection.export.as_json import to_plain
    from fedstate.inspection.export.writing import whole_file
    from fedstate.inspection.histories import COLUMNS, histories_of
    from fedstate.inspection.store import open_store

    place = place_of(state, node, copied=png is not None)
    with open_store(place, key_of(key)) as store:
        found = store.state(run)
        names = found.values.histories() if name is None else [name]
        if png is not None:
            drawn = _some([found.values.history(each) for each in names], run)
            with whole_file(png, replace=False) as partial:
                in_picture(drawn, f"Run {found.run_id}", partial)
            show_result({"picture": str(png), "histories": names}, shown)
            return
        if plot:
            for each in _some([found.values.history(each) for each in names], run):
                console().print(f"{each.name}\n{in_text(each)}", markup=False, highlight=False)
            return
        table = histories_of(found, names)
        # JSON has no number for what is not finite.
        show_rows(map(to_plain, table) if shown is Format.JSON else table, COLUMNS, shown)


def _some(histories: "list[History]", run: str) -> "list[History]":
    if not histories:
        raise SettingError(f"The state of run {run} has no history to draw.")
    return histories


@app.command(
    epilog=examples(
        "fedstate state diff 4711@4 4711@5 --node 2",
        "fedstate state diff 4711 1848 --node 2",
        "fedstate state diff 4711 --node 1 --with-node 2",
        "fedstate state diff 4711 --state state --with-state node.backup",
    )
)
def diff(
    run: RunState,
    other: Annotated[
        str | None,
        typer.Argument(help="The other one; the same, if none: then name another store."),
    ] = None,
    state: State = None,
    node: Node = None,
    with_state: Annotated[
        Path | None, typer.Option("--with-state", help="The store that the other one is in.")
    ] = None,
    with_node: Annotated[
        int | None, typer.Option("--with-node", min=1, help="The node that the other one is on.")
    ] = None,
    key: Key = None,
    with_key: Annotated[
        Path | None, typer.Option("--with-state-key", help="The encryption key of that store.")
    ] = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Compare two states: which values and layers have changed, and by how much.

    Of numbers it shows the L2 norm of the difference, the same relative to the norm of the first
    state, and the largest difference of an element. Equal ones are counted.
    """
    from fedstate.inspection.difference import compare
    from fedstate.inspection.store import open_store

    elsewhere = with_state is not None or with_node is not None
    if other is None and not elsewhere:
        raise SettingError(
            "Compare with what? Name a second state (RUN, or RUN@N), or another store with "
            "--with-node or --with-state."
        )
    if with_key is not None and not elsewhere:
        raise SettingError("--with-state-key belongs to --with-state or --with-node.")
    with ExitStack() as stack:
        place = place_of(state, node, copied=elsewhere)
        first = stack.enter_context(open_store(place, key_of(key)))
        second = first
        if elsewhere:
            place = place_of(with_state, with_node, copied=True)
            second = stack.enter_context(open_store(place, key_of(with_key)))
        before, after = first.state(run), second.state(other or run)
        found = compare(before, after, same_store=first is second)
    if shown is Format.JSON:
        names = {"before": before, "after": after}
        states = {n: {"run": str(s.run_id), "state": s.number} for n, s in names.items()}
        rows = list(found.table())
        show_result({**states, "equal": found.equal, "changes": rows}, shown)
        return
    if found.changes or shown is Format.CSV:
        show_rows(found.table(), _CHANGES, shown)
    if shown is Format.TABLE:
        pieces = "1 piece is" if found.equal == 1 else f"{found.equal:,} pieces are"
        typer.echo(f"{'' if found.changes else 'Nothing differs: '}{pieces} equal.")


@app.command(
    epilog=examples(
        "fedstate state export 4711 head --node 2 --to head.npz",
        "fedstate state export 4711 --state node.backup --to state.json",
        "fedstate state export 4711 loss --node 2 --to loss.csv",
        "fedstate state export --all --to study.csv",
        "fedstate state export --all --node 1 --node 2 --to study.json",
    )
)
def export(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run, by the first digits of its ID; RUN@N is the state after its step N.",
            autocompletion=completion.run_ids,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="A value; all, if none.", autocompletion=completion.value_names),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write.")] = None,
    all_runs: Annotated[
        bool, typer.Option("--all", help="The histories of all runs, as one table.")
    ] = False,
    state: Annotated[
        list[Path] | None,
        typer.Option("--state", help="A state directory or a backup; with --all also several."),
    ] = None,
    node: Annotated[
        list[int] | None,
        typer.Option("--node", min=1, help="A node of the federation here; with --all several."),
    ] = None,
    form: Annotated[
        FileFormat | None, typer.Option("--as", help="The format, if not that of the name.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="For .weights.h5: what makes the model, as MODULE:FUNCTION."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a file that is there.")
    ] = False,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Write what a run holds into a file, or the histories of all runs as one table.

    The end of the file's name says the format: .npz, .safetensors, .weights.h5 (Keras; give
    --model), .pt (PyTorch), .json, .csv and .parquet. With --all and no store all nodes of the
    federation in this directory are read.
    """
    from fedstate.inspection.export import export_state, export_table, format_of
    from fedstate.inspection.histories import study
    from fedstate.inspection.model import made_by
    from fedstate.inspection.store import open_store

    if to is None:
        raise SettingError("Where to? Give --to FILE, such as --to weights.npz.")
    if all_runs == (run is not None):
        raise SettingError("Name a run, or give --all for all runs, but not both.")
    if model is not None and (all_runs or format_of(to, form) is not FileFormat.KERAS):
        raise SettingError("--model belongs to a file of Keras's: --to NAME.weights.h5.")
    places, secret = places_of(state or [], node or [], every=all_runs), key_of(key)
    with ExitStack() as stack:
        stores = [stack.enter_context(open_store(place, secret)) for place in places]
        if run is None:
            done = export_table(study(stores), to, form=form, replace=replace)
        else:
            done = export_state(
                _only(stores).state(run),
                to,
                name,
                form=form,
                replace=replace,
                model=made_by(model) if model else None,
            )
    show_result(described(done), shown)


def _only(stores: "Iterable[Store]") -> "Store":
    first, *others = stores
    if others:
        raise SettingError("A run is exported from one store: give --state or --node once.")
    return first
