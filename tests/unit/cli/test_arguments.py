"""Arguments are explained in the help, as options are."""

from typing import Annotated

import click
import typer

from fedstate.cli import app
from fedstate.cli.arguments import keep_argument_help

APP = typer.Typer()


@APP.command()
def copy(source: Annotated[str, typer.Argument(help="What is copied.")], target: str) -> None:
    """Copy."""


def arguments(command: click.Command) -> list[click.Argument]:
    own = [each for each in command.params if isinstance(each, click.Argument)]
    if isinstance(command, click.Group):
        return own + [each for sub in command.commands.values() for each in arguments(sub)]
    return own


def test_each_argument_of_each_command_has_its_help() -> None:
    for argument in arguments(typer.main.get_command(app)):
        assert argument.help, argument.name


def test_the_help_is_what_the_command_says() -> None:
    command = typer.main.get_command(APP)
    keep_argument_help(command)
    assert [each.help for each in arguments(command)] == ["What is copied.", None]
