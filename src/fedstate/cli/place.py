"""Which store a command is about: one grammar for all commands on the state of a node."""

from pathlib import Path
from typing import Annotated

import typer

from fedstate.errors import SettingError

LOCAL_DIRECTORY = Path(".fedstate")

State = Annotated[
    Path | None,
    typer.Option("--state", help="The state directory of a node, or a backup."),
]
StateDirectory = Annotated[
    Path | None, typer.Option("--state", help="The state directory of a node.")
]
Node = Annotated[
    int | None,
    typer.Option("--node", min=1, help="A node of the federation in this directory: 1, 2, …"),
]
Key = Annotated[
    Path | None,
    typer.Option("--state-key", help="The file with the encryption key, if there is one."),
]


def place_of(state: Path | None, node: int | None) -> Path:
    """Return the state directory, or the backup, that a command is about.

    Parameters
    ----------
    state : Path, optional
        What ``--state`` names.
    node : int, optional
        What ``--node`` names: the number of a node of the local federation in this directory.

    Raises
    ------
    SettingError
        Neither is given, or both; or there is no such node.
    """
    if state is not None and node is not None:
        raise SettingError("--state and --node both name a store: give one of them.")
    if state is not None:
        return state
    if node is None:
        raise SettingError(
            "Which node? Give --state DIRECTORY (a state directory or a backup), or --node 1 for "
            "the first node of the federation in this directory."
        )
    if not LOCAL_DIRECTORY.is_dir():
        raise SettingError(
            "--node names a node of the federation in this directory, and there is none here "
            f"(no '{LOCAL_DIRECTORY}'). Go to the directory of `fedstate local up`, or give "
            "--state DIRECTORY."
        )
    stores = _stores()
    if node not in stores:
        there = ", ".join(map(str, sorted(stores))) or "none"
        raise SettingError(
            f"There is no node {node} with a store in '{LOCAL_DIRECTORY}'; there is {there}."
        )
    return stores[node]


def _stores() -> dict[int, Path]:
    """Return the state directories of the local federation's nodes, by their numbers."""
    # In each node's FLWR_HOME, under a name that follows from its key.
    found = LOCAL_DIRECTORY.glob("node-*/flwr/fedstate/nodes/*/node.db")
    numbered = ((each.parent, each.parts[-6].removeprefix("node-")) for each in found)
    return {int(number): directory for directory, number in numbered if number.isdecimal()}


def key_of(path: Path | None) -> bytes | None:
    """Return the encryption key in a file; None without one."""
    from fedstate.store.cipher import read_key

    return read_key(path) if path else None
