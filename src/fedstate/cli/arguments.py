"""The help of arguments, which this typer loses with this click: click 8.5 has one of its own."""

import typing

import click
from typer.models import ArgumentInfo


def keep_argument_help(command: click.Command) -> None:
    """Give the arguments of a command, or of all commands of a group, the help that they have."""
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
