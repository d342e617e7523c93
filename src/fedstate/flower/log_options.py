"""The option of a SuperLink and a SuperNode that says how they log, and what follows from it."""

import argparse

# Whose level says how much flwr's programs log.
from flwr.supercore.logger import console_handler

from fedstate.flower.log_levels import FlowerLevels
from fedstate.logs import chosen_format, configure, cover_everything
from fedstate.logs.setup import OPTION_HELP


def add_log_options(parser: argparse._ActionsContainer) -> None:
    """Add the option to a parser."""
    parser.add_argument("--log-format", metavar="text|json", help=OPTION_HELP)


def configure_logs(component: str, options: argparse.Namespace) -> None:
    """Log as the options say.

    Parameters
    ----------
    component : str
        What this program is.
    options : Namespace
        With what `add_log_options` has added.

    Raises
    ------
    SettingError
        There is no such format.
    """
    chosen = chosen_format(options.log_format)
    configure(component, chosen, FlowerLevels(), level=console_handler.level)
    cover_everything()
