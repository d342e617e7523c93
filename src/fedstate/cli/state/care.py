"""Looking after a store: check it, back it up, restore it, free a run, change its key."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedstate.cli.examples import examples
from fedstate.cli.output import Format, Shown, show_result
from fedstate.cli.place import Key, Node, State, StateDirectory, key_of, place_of

app = typer.Typer()


@app.command(
    epilog=examples("fedstate state check --node 2", "fedstate state check --state state")
)
def check(
    state: State = None, node: Node = None, key: Key = None, shown: Shown = Format.TABLE
) -> None:
    """Check every checksum in a store; its SuperNode may run. Exit code 1 if one fails."""
    from fedstate.store.check import check as check_store

    directory = place_of(state, node)
    report = check_store(directory, key_of(key))
    result = {
        "directory": str(directory),
        "state": "damaged" if report.problems else "intact",
        **asdict(report),
    }
    show_result(result, shown)
    if report.problems:
        raise typer.Exit(1)


@app.command(epilog=examples("fedstate state backup node-2.backup --node 2"))
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    state: StateDirectory = None,
    node: Node = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Write a store to one file with a checksum, while its SuperNode runs or not."""
    from fedstate.store.backup import back_up

    show_result({"backup": str(file), **asdict(back_up(place_of(state, node), file))}, shown)


@app.command(
    epilog=examples(
        "fedstate state restore node.backup --state restored",
        "fedstate state restore node.backup --node 2 --replace",
    )
)
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `fedstate state backup` wrote.")],
    state: StateDirectory = None,
    node: Node = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move a store that is there aside.")
    ] = False,
    shown: Shown = Format.TABLE,
) -> None:
    """Put a backup into a state directory; its SuperNode must not run."""
    from fedstate.store.backup import restore as restore_store

    directory = place_of(state, node)
    restored = restore_store(file, directory, replace=replace)
    show_result({"directory": str(directory), **asdict(restored)}, shown)


@app.command(epilog=examples("fedstate state free 1848190217735512009 --node 2"))
def free(
    run: Annotated[int, typer.Argument(help="The ID of a run.")],
    state: StateDirectory = None,
    node: Node = None,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Free a run that has ended or that the SuperLink does not know; stop the SuperNode first."""
    from contextlib import closing

    from fedstate.store.node_store import NodeStore
    from fedstate.store.retention import free_by_name

    directory = place_of(state, node)
    with closing(NodeStore(directory, key=key_of(key), create=False)) as store:
        size = free_by_name(store, run)
    show_result({"directory": str(directory), "run": run, "freed_bytes": size}, shown)


@app.command(
    epilog=examples(
        "fedstate state receipts 4711 --node 2", "fedstate state receipts --state node.backup"
    )
)
def receipts(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs, by the first digits of their IDs; all, if none is named."),
    ] = None,
    state: State = None,
    node: Node = None,
    key: Key = None,
) -> None:
    """Print the receipts of a node's steps: JSON lines with the signed rows, in hexadecimal.

    RUNS are the first digits of the IDs of runs; without any, all runs.
    """
    from fedstate.verify.store import receipts_of

    for receipt in receipts_of(place_of(state, node), key_of(key), runs or []):
        record = receipt.record
        line = {
            "run_id": str(record.run_id),
            "node_id": str(record.node_id),
            "step": record.run_sequence,
            "outcome": record.outcome,
            "row": receipt.row.hex(),
            "signature": receipt.signature.hex(),
        }
        typer.echo(json.dumps(line))


@app.command(
    "rotate-key",
    epilog=examples(
        "fedstate state rotate-key --state encrypted --old-key old.key --new-key new.key"
    ),
)
def rotate_key(
    old: Annotated[Path, typer.Option("--old-key", help="The file with the present key.")],
    new: Annotated[Path, typer.Option("--new-key", help="The file with the next key.")],
    state: StateDirectory = None,
    node: Node = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Change the key of an encrypted store; its SuperNode must not run."""
    from contextlib import closing

    from fedstate.store.cipher import read_key
    from fedstate.store.store_file import StoreFile

    directory = place_of(state, node)
    old_key, new_key = read_key(old), read_key(new)
    with closing(StoreFile(directory, key=old_key, create=False)) as store:
        store.rotate_key(old_key, new_key)
    show_result({"directory": str(directory), "key": str(new)}, shown)
