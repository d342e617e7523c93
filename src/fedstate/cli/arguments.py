"""What all commands' parameters have in common: the help of arguments, and who checks a path."""

import typing

import click
from typer.models import ArgumentInfo


def leave_paths_to_commands(command: click.Command) -> None:
    """Let a command, or all commands of a group, say what is wrong with a path themselves.

    click would show their usage for one that may not be read, in a box of six lines.
    """
    if isinstance(command, click.Group):
        for each in command.commands.values():
            leave_paths_to_commands(each)
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.readable = False


def keep_argument_help(command: click.Command) -> None:
    """Give the arguments of a command, or of all commands of a group, the help that they have.

    This typer loses it with this click: click 8.5 has one of its own.
    """
    if isinstance(command, click.Group):
        for each in command.commands.values():
            keep_argument_help(each)
    if command.callback is None:
        return
    hints = typing.get_type_hints(command.callback, include_extras=True)
    for parameter in command.params:
        for info in getattr(hints.get(parameter.name or ""), "__metadata__", ()):
            if isinstance(info, ArgumentInfo) and isinstance(parameter, click.Argument):
                parameter.help = info.help
