"""Looking after a store: check it, back it up, restore it, free a run, change its key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fedstate.cli.compose import HANDED_IN
from fedstate.cli.examples import examples
from fedstate.cli.output import Format, Shown, described, show_result
from fedstate.cli.place import (
    Key,
    Node,
    State,
    StateDirectory,
    changed_place_of,
    key_of,
    place_of,
)

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
        **described(report),
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
    from fedstate.store.backup import back_up, copy_backup

    place = place_of(state, node, copied=True)
    # Of a node in a container it is a backup already, which has come from there.
    written = copy_backup if state is None and place.is_file() else back_up
    show_result({"backup": str(file), **described(written(place, file))}, shown)


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
    """Put a backup into a state directory; its SuperNode must not run.

    For a node in a container --state is needed, in that container.
    """
    from fedstate.store.backup import restore as restore_store

    directory = place_of(
        state,
        node,
        not_there=f"'{file}' is read here: run `fedstate state restore` in that container, with "
        "--state (docs/state.md has the line)",
    )
    with _stopped(directory):
        restored = restore_store(file, directory, replace=replace)
    show_result({"directory": str(directory), **described(restored)}, shown)


@app.command(
    epilog=examples(
        "fedstate state free 1848 --node 2",
        "fedstate state free --finished --older-than 2d --node 2",
    )
)
def free(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs, by the first digits of their IDs.")
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="All runs that have ended.")
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="All runs that ended longer ago: 90s, 12h, 2d."),
    ] = None,
    state: StateDirectory = None,
    node: Node = None,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Free runs that have ended or that the SuperLink does not know; the SuperNode may run.

    Their state goes, and what they have printed on the node.
    """
    from fedstate.durations import seconds_of
    from fedstate.errors import SettingError
    from fedstate.logs.run_files import delete_output
    from fedstate.store.requests import free_runs
    from fedstate.store.retention import Choice
    from fedstate.supernode.output import output_of

    if bool(runs) == (finished or older_than is not None):
        raise SettingError(
            "Which runs? Name them by the first digits of their IDs, or give --finished or "
            "--older-than 2d."
        )
    seconds = None if older_than is None else seconds_of(older_than, "--older-than")
    choice = Choice(runs or [], finished, seconds)
    directory = changed_place_of(state, node)
    freed = free_runs(directory, choice, key_of(key))
    for run_id in map(int, freed.runs):
        delete_output(output_of(directory), run_id)
    show_result({"directory": str(directory), **described(freed)}, shown)


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


@app.command(epilog=examples("fedstate state encrypt --state-key new.key --state state"))
def encrypt(
    new: Annotated[
        Path,
        typer.Option("--state-key", help="The file with the key that the store is to have."),
    ],
    state: StateDirectory = None,
    node: Node = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Encrypt a store that is there; its SuperNode must not run, and has to be given the key."""
    from fedstate.store.cipher import read_key
    from fedstate.store.rewrite import encrypt as encrypt_store

    directory = changed_place_of(state, node)
    with _stopped(directory):
        written = encrypt_store(directory, read_key(new))
    show_result({"directory": str(directory), **_key(new), **described(written)}, shown)


@app.command(epilog=examples("fedstate state decrypt --state-key old.key --state encrypted"))
def decrypt(
    old: Annotated[
        Path, typer.Option("--state-key", help="The file with the key that the store has.")
    ],
    state: StateDirectory = None,
    node: Node = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Decrypt a store; its SuperNode must not run, and is then started without a key."""
    from fedstate.store.cipher import read_key
    from fedstate.store.rewrite import decrypt as decrypt_store

    directory = changed_place_of(state, node)
    with _stopped(directory):
        written = decrypt_store(directory, read_key(old))
    show_result({"directory": str(directory), **described(written)}, shown)


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

    directory = changed_place_of(state, node)
    old_key, new_key = read_key(old), read_key(new)
    with _stopped(directory), closing(StoreFile(directory, key=old_key, create=False)) as store:
        store.rotate_key(old_key, new_key)
    show_result({"directory": str(directory), **_key(new)}, shown)


def _key(file: Path) -> dict[str, str]:
    """Return where the key is; nothing in a container, which it does not stay in."""
    return {} if file.is_relative_to(HANDED_IN) else {"key": str(file)}


@contextmanager
def _stopped(directory: Path) -> Iterator[None]:
    """Say of a store that is in use what has to be stopped for this command."""
    from fedstate.store.errors import StoreInUseError

    try:
        yield
    except StoreInUseError:
        raise StoreInUseError(
            f"The SuperNode of '{directory}' is running. Stop it, give this command again, and "
            "start it after."
        ) from None
