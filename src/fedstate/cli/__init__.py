"""The ``fedstate`` command: one module per group of commands, joined here."""

import functools
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
    health,
    local,
    logs,
    node,
    state,
    superlink,
    supernode,
    verify,
)
from fedstate.cli.arguments import keep_argument_help, leave_paths_to_commands
from fedstate.errors import FedstateError
from fedstate.logs import JSON, log_format, logger
from fedstate.os_errors import one_line, sentence


class _OneSentence(TyperGroup):
    """Ends a user's mistake in one sentence and exit code 1, whatever the command."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        keep_argument_help(self)
        leave_paths_to_commands(self)

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
    if log_format() == JSON:  # a program whose every line is an object
        logger.error("%s", problem)
    else:
        typer.secho(f"fedstate: {one_line(problem)}", fg=typer.colors.RED, err=True)


app = typer.Typer(
    name="fedstate",
    cls=_OneSentence,
    help="Flower federations whose clients remember.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)


_passed_on = functools.partial(app.command, context_settings=supernode.PASSED_ON)

app.add_typer(account.app, name="account")
app.add_typer(certificates.app, name="certificates")
app.add_typer(local.app, name="local")
app.add_typer(node.app, name="node")
app.add_typer(state.app, name="state")
app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=connection.CONNECTION_EXAMPLES)(connection.connection)
app.command(epilog=connection.ENROL_EXAMPLES)(connection.enrol)
app.command(epilog=health.EXAMPLES)(health.health)
app.command(epilog=executor.EXAMPLES)(executor.executor)
app.command(epilog=logs.EXAMPLES)(logs.logs)
app.command(epilog=verify.EXAMPLES)(verify.verify)
_passed_on(epilog=superlink.EXAMPLES)(superlink.superlink)
_passed_on(epilog=supernode.EXAMPLES)(supernode.supernode)


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
