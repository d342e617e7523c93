"""``fedstate node``: the nodes that a SuperLink knows, for their operator."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedstate.errors import FederationError

if TYPE_CHECKING:
    from fedstate.flower.control import Control
    from fedstate.flower.control_nodes import Node

app = typer.Typer(
    help="Show the nodes of a SuperLink, replace a node's key, take a node back.",
    no_args_is_help=True,
)

_COLUMNS = ("node", "status", "name", "location", "registered", "key")


class Format(StrEnum):
    """How a command shows its result."""

    TABLE = "table"
    JSON = "json"


Shown = Annotated[Format, typer.Option("--format", help="How to show the result.")]
SuperLink = Annotated[
    str | None, typer.Option(help="The SuperLink's connection; the default one, if none.")
]
NodeId = Annotated[str, typer.Argument(help="A node's ID, or its first digits.")]


@app.command("list")
def list_nodes(superlink: SuperLink = None, shown: Shown = Format.TABLE) -> None:
    """List the nodes of your account, those that were unregistered included."""
    from fedstate.flower.control import control_by_name

    with control_by_name(superlink) as link:
        rows = [_row(node) for node in link.nodes()]
    if shown is Format.JSON:
        typer.echo(json.dumps(rows))
        return
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*(row[column] for column in _COLUMNS))
    Console().print(table)


@app.command("replace-key")
def change_key(
    node: NodeId,
    public_key: Annotated[Path, typer.Argument(help="The new key's node.pub.")],
    superlink: SuperLink = None,
) -> None:
    """Give a node another key: it keeps its ID and its state, the old key is refused at once."""
    from fedstate.flower.control import control_by_name
    from fedstate.flower.control_nodes import replace_key

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


@app.command()
def restore(node: NodeId, superlink: SuperLink = None) -> None:
    """Take back a node that was unregistered, with the ID and the key that it had."""
    from fedstate.flower.control import control_by_name
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


def _row(node: "Node") -> dict[str, str]:
    from fedstate.certificates.keys import fingerprint

    return {
        "node": str(node.node_id),
        "status": node.status,
        "name": node.name,
        "location": node.location,
        "registered": node.registered_at,
        "key": fingerprint(node.public_key),
    }
