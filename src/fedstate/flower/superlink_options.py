"""The command line of flower-superlink, read as flwr reads it.

flwr's own parser reads it, so that a command line for Flower's program needs no change.
"""

import argparse
from collections.abc import Sequence

# The parser: flwr's program reads the command line of its process, and offers nothing else.
from flwr.superlink.cli.flower_superlink import (
    _parse_args_run_superlink,
    _parse_superlink_lifespan_config,
)

# What flwr's SuperLink is made with; outside of `fedstate.flower` little of it is looked at.
from flwr.superlink.config_loader import SuperLinkLifespanConfig as SuperLinkSettings

from fedstate.flower.programs import command_line

__all__ = ["SuperLinkSettings", "superlink_parser", "superlink_settings"]


def superlink_parser() -> argparse.ArgumentParser:
    """Return the parser of flower-superlink's options."""
    return _parse_args_run_superlink()


def superlink_settings(arguments: Sequence[str]) -> SuperLinkSettings:
    """Return what flower-superlink's options say.

    Raises
    ------
    SystemExit
        For wrong usage, as flower-superlink itself ends.
    """
    with command_line("flower-superlink", arguments):
        return _parse_superlink_lifespan_config()
