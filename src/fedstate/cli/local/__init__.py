"""``fedstate local``: a federation as plain processes on this machine."""

import typer

from fedstate.cli.local import running, up

app = typer.Typer(
    help="The federation as plain processes, for machines without Docker.", no_args_is_help=True
)
for each in (up.app, running.app):
    app.add_typer(each)

__all__ = ["app"]
