"""``fedstate node``: the nodes that a SuperLink knows, for their operator."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedstate.cli.examples import examples
from fedstate.cli.human import human_size, human_time
from fedstate.cli.nodes_here import NodeHere, connection_here, nodes_here
from fedstate.cli.output import Column, Format, Shown, show_rows, warn
from fedstate.errors import FederationError, FedstateError

if TYPE_CHECKING:
    from fedstate.flower.control import Control
    from fedstate.flower.control_nodes import Node

app = typer.Typer(
    help="Show the nodes of a SuperLink, replace a node's key, take a node back.",
    no_args_is_help=True,
)


def _time_of(text: str) -> str:
    return human_time(datetime.fromisoformat(text).timestamp()) if text else ""


_OF_SUPERLINK = (
    *("node", "status", "name", "location"),
    Column("registered", text=_time_of),
)
_COLUMNS = (*_OF_SUPERLINK, "key")
_COLUMNS_HERE = (
    Column("number", right=True),
    *_OF_SUPERLINK,
    Column("store_bytes", "store", human_size, right=True),
    *("directory", "key"),
)

SuperLink = Annotated[
    str | None, typer.Option(help="The SuperLink's connection; the default one, if none.")
]
NodeId = Annotated[str, typer.Argument(help="A node's ID, or its first digits.")]


@app.command("list", epilog=examples("fedstate node list", "fedstate node list --format json"))
def list_nodes(superlink: SuperLink = None, shown: Shown = Format.TABLE) -> None:
    """List the nodes of your account, those that were unregistered included.

    In the directory of a local federation or of a compose project it has their directories and
    the sizes of their stores as well, also while no SuperLink can be reached. The size in a
    container is known while that is up.
    """
    here = nodes_here()
    try:
        rows = _at_superlink(superlink, here)
    except FedstateError as error:
        if not here:
            raise
        rows = []
        warn(f"No SuperLink was asked, and this is what is here: {error}")
    if not here:
        show_rows(rows, _COLUMNS, shown)
        return
    by_key = {node.key: node for node in here if node.key}
    known = {row["key"] for row in rows}
    rows += [_unlisted(node) for node in here if node.key not in known]
    both = [_here(by_key.get(row["key"])) | row for row in rows]
    both.sort(key=lambda row: (row["number"] is None, row["number"]))
    show_rows(both, _COLUMNS_HERE, shown)


def _at_superlink(superlink: str | None, here: list[NodeHere]) -> list[dict[str, Any]]:
    from fedstate.flower.control import control
    from fedstate.flower.control_named import control_by_name

    if superlink is not None or "FLWR_HOME" in os.environ:
        opened = control_by_name(superlink)
    elif connection := connection_here():
        # Whoever has named no SuperLink means that of the federation in this directory.
        opened = control(connection)
    elif here:
        raise FederationError("the federation in this directory has no connection yet.")
    else:
        opened = control_by_name(None)
    with opened as link:
        return [_row(node) for node in link.nodes()]


def _here(node: NodeHere | None) -> dict[str, Any]:
    if node is None:
        return {"number": None, "directory": "", "store_bytes": None}
    return {
        "number": node.number,
        "directory": node.directory,
        "store_bytes": node.store_bytes,
    }


def _unlisted(node: NodeHere) -> dict[str, Any]:
    """Return the row of a node of which no SuperLink has told anything."""
    empty = dict.fromkeys(("node", "name", "location", "registered"), "")
    return {**empty, **_here(node), "status": "not known", "key": node.key}


@app.command("replace-key", epilog=examples("fedstate node replace-key 8123 new.pub"))
def change_key(
    node: NodeId,
    public_key: Annotated[Path, typer.Argument(help="The new key's node.pub.")],
    superlink: SuperLink = None,
) -> None:
    """Give a node another key: it keeps its ID and its state, the old key is refused at once."""
    from fedstate.flower.control_named import control_by_name
    from fedstate.flower.control_nodes import load_public_key, replace_key

    load_public_key(public_key)  # what is wrong with the file need not wait for the SuperLink
    with control_by_name(superlink) as link:
        node_id = _named(link, node)
        changed = replace_key(link, node_id, public_key)
    if changed:
        typer.echo(
            f"Node {node_id} has the key {public_key}. Its SuperNode goes on with it if its key "
            "file has it by now; if it has ended, start it with this key and its state directory."
        )
    else:
        typer.echo(f"Node {node_id} has the key {public_key} already.")


@app.command(epilog=examples("fedstate node restore 8123"))
def restore(node: NodeId, superlink: SuperLink = None) -> None:
    """Take back a node that was unregistered, with the ID and the key that it had."""
    from fedstate.flower.control_named import control_by_name
    from fedstate.flower.control_nodes import restore_node

    with control_by_name(superlink) as link:
        node_id = _named(link, node)
        changed = restore_node(link, node_id)
    typer.echo(f"Node {node_id} is registered{' again' if changed else ' already'}.")


def _named(link: "Control", name: str) -> int:
    """Return the ID of the node that is meant."""
    if not name.isdecimal():
        raise FederationError(f"'{name}' is not a node's ID; `fedstate node list` shows them.")
    ids = [node.node_id for node in link.nodes()]
    if int(name) in ids:
        return int(name)
    found = [node_id for node_id in ids if str(node_id).startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise FederationError(
            f"The IDs of {len(found)} nodes begin with {name}; give more digits."
        )
    raise FederationError(f"There is no node {name}; `fedstate node list` shows them.")


def _row(node: "Node") -> dict[str, Any]:
    from fedstate.certificates.keys import fingerprint

    return {
        "node": str(node.node_id),
        "status": node.status,
        "name": node.name,
        "location": node.location,
        "registered": node.registered_at,
        "key": fingerprint(node.public_key),
    }
