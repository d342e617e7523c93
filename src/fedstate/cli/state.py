"""``fedstate state``: look after the state of a node."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fedstate.cli.console import console

app = typer.Typer(
    help="Check, back up and restore the state of a node, and list its steps.",
    no_args_is_help=True,
)


class Format(StrEnum):
    """How a command shows its result."""

    TABLE = "table"
    JSON = "json"


Directory = Annotated[Path, typer.Argument(help="The state directory of a node.")]
Shown = Annotated[Format, typer.Option("--format", help="How to show the result.")]
Key = Annotated[
    Path | None, typer.Option("--state-key", help="The file with the encryption key.")
]


@app.command()
def check(directory: Directory, key: Key = None, shown: Shown = Format.TABLE) -> None:
    """Check every checksum in a store; its SuperNode may run. Exit code 1 if one fails."""
    from fedstate.store.check import check as check_store

    report = check_store(directory, _key(key))
    result = {
        "directory": str(directory),
        "state": "damaged" if report.problems else "intact",
        **asdict(report),
    }
    _show(result, shown)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def steps(
    directory: Annotated[Path, typer.Argument(help="The state directory, or a backup.")],
    run: Annotated[int | None, typer.Option(help="Those of one run, by its ID.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, and messages that were refused.")
    ] = False,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """List the steps in the node's log, the oldest first; its SuperNode may run."""
    from fedstate.store.read_only import read_only
    from fedstate.store.step_rows import step_rows

    with read_only(directory, _key(key)) as store:
        rows = step_rows(store, run, failed=failed)
        if shown is Format.JSON:
            typer.echo(json.dumps(list(rows)))
            return
        columns = ("time", "run", "round", "action", "outcome", "reason")
        table = Table(*columns)
        for row in rows:
            table.add_row(*(str(row[column]) for column in columns))
    console().print(table)


@app.command()
def backup(
    directory: Directory,
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    shown: Shown = Format.TABLE,
) -> None:
    """Write a store to one file with a checksum, while its SuperNode runs or not."""
    from fedstate.store.backup import back_up

    _show({"backup": str(file), **asdict(back_up(directory, file))}, shown)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `fedstate state backup` wrote.")],
    directory: Directory,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move a store that is there aside.")
    ] = False,
    shown: Shown = Format.TABLE,
) -> None:
    """Put a backup into a state directory; its SuperNode must not run."""
    from fedstate.store.backup import restore as restore_store

    restored = restore_store(file, directory, replace=replace)
    _show({"directory": str(directory), **asdict(restored)}, shown)


@app.command()
def free(
    directory: Directory,
    run: Annotated[int, typer.Argument(help="The ID of a run.")],
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Free a run that has ended or that the SuperLink does not know; stop the SuperNode first."""
    from contextlib import closing

    from fedstate.store.node_store import NodeStore
    from fedstate.store.retention import free_by_name

    with closing(NodeStore(directory, key=_key(key), create=False)) as store:
        size = free_by_name(store, run)
    _show({"directory": str(directory), "run": run, "freed_bytes": size}, shown)


@app.command()
def receipts(
    directory: Annotated[
        Path, typer.Argument(help="The state directory of a node, or a backup; it may be in use.")
    ],
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs, by the first digits of their IDs; all, if none is named."),
    ] = None,
    key: Key = None,
) -> None:
    """Print the receipts of a node's steps: JSON lines with the signed rows, in hexadecimal.

    RUNS are the first digits of the IDs of runs; without any, all runs.
    """
    from fedstate.verify.store import receipts_of

    for receipt in receipts_of(directory, _key(key), runs or []):
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


@app.command("rotate-key")
def rotate_key(
    directory: Directory,
    old: Annotated[Path, typer.Option("--old-key", help="The file with the present key.")],
    new: Annotated[Path, typer.Option("--new-key", help="The file with the next key.")],
    shown: Shown = Format.TABLE,
) -> None:
    """Change the key of an encrypted store; its SuperNode must not run."""
    from contextlib import closing

    from fedstate.store.cipher import read_key
    from fedstate.store.store_file import StoreFile

    old_key, new_key = read_key(old), read_key(new)
    with closing(StoreFile(directory, key=old_key, create=False)) as store:
        store.rotate_key(old_key, new_key)
    _show({"directory": str(directory), "key": str(new)}, shown)


def _key(path: Path | None) -> bytes | None:
    from fedstate.store.cipher import read_key

    return read_key(path) if path else None


def _show(result: dict[str, Any], shown: Format) -> None:
    if shown is Format.JSON:
        typer.echo(json.dumps(result))
        return
    table = Table(show_header=False)
    for name, value in result.items():
        lines = value if isinstance(value, list) else [value]
        table.add_row(name, "\n".join(str(line) for line in lines) or "none")
    console().print(table)
