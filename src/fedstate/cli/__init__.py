"""The ``fedstate`` command: one module per group of commands, joined here."""

from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fedstate.cli import (
    account,
    certificates,
    connection,
    demo,
    executor,
    local,
    node,
    state,
    superlink,
    supernode,
    verify,
)
from fedstate.errors import FedstateError
from fedstate.os_errors import one_line, sentence


class _OneSentence(TyperGroup):
    """Ends a user's mistake in one sentence and exit code 1, whatever the command."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except FedstateError as error:
            _say(str(error))
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is None:  # no file or directory that somebody has named
                raise
            _say(sentence(error))
            raise typer.Exit(1) from None


def _say(problem: str) -> None:
    typer.secho(f"fedstate: {one_line(problem)}", fg=typer.colors.RED, err=True)


app = typer.Typer(
    name="fedstate",
    cls=_OneSentence,
    help="Flower federations whose clients remember.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


app.add_typer(account.app, name="account")
app.add_typer(certificates.app, name="certificates")
app.add_typer(local.app, name="local")
app.add_typer(node.app, name="node")
app.add_typer(state.app, name="state")
app.command()(demo.demo)
app.command()(connection.connection)
app.command()(connection.enrol)
app.command()(connection.health)
app.command()(executor.executor)
app.command()(verify.verify)
app.command(context_settings=supernode.PASSED_ON)(superlink.superlink)
app.command(context_settings=supernode.PASSED_ON)(supernode.supernode)


@app.callback()
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the versions and exit.")] = False,
) -> None:
    """Flower federations whose clients remember."""
    if show:
        names = ("fedstate", "flwr")
        typer.echo(", ".join(f"{name} {metadata.version(name)}" for name in names))
        raise typer.Exit


def main() -> None:
    """Run the command line.

    Raises
    ------
    SystemExit
        Always: 0 on success, 1 for a ``FedstateError``, 2 for wrong usage.
    """
    app()
