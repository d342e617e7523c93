"""Arguments are explained in the help, as options are."""

from typing import Annotated

import click
import typer

from fedstate.cli import app
from fedstate.cli.arguments import keep_argument_help, leave_paths_to_commands

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


def paths(command: click.Command) -> list[click.Path]:
    own = [each.type for each in command.params if isinstance(each.type, click.Path)]
    if isinstance(command, click.Group):
        return own + [each for sub in command.commands.values() for each in paths(sub)]
    return own


def test_what_is_wrong_with_a_path_is_said_by_the_command() -> None:
    tree = typer.main.get_command(app)
    assert not any(each.readable or each.writable or each.exists for each in paths(tree))
    command = click.Command("copy", params=[click.Argument(["file"], type=click.Path())])
    leave_paths_to_commands(command)
    assert [each.readable for each in paths(command)] == [False]
