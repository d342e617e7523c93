"""``fedstate state``: look into the state of a node, and look after it.

One grammar for all commands: ``--state`` names a state directory or a backup, ``--node`` a node
of the federation in this directory; runs are named by the first digits of their IDs.
"""

import typer

from fedstate.cli.place import OnAStore
from fedstate.cli.state import care, looking, showing, values

app = typer.Typer(
    cls=OnAStore,
    help="Look into the state of a node, check it, back it up and restore it.",
    no_args_is_help=True,
)
for each in (looking.app, showing.app, values.app, care.app):
    app.add_typer(each)

__all__ = ["app"]
