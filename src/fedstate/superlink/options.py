"""The options of ``fedstate superlink``: those of flower-superlink."""

import sys
from collections.abc import Sequence

# flwr's own parser, so that a command line for `flower-superlink` needs no change.
from flwr.superlink.cli.flower_superlink import (
    _parse_args_run_superlink,
    _parse_superlink_lifespan_config,
)

from fedstate.superlink.main import run_superlink


def main(arguments: Sequence[str]) -> None:
    """Run a SuperLink with these command-line arguments.

    Raises
    ------
    SystemExit
        For wrong usage (2), and for --help and --version (0).
    """
    parser = _parse_args_run_superlink()
    parser.prog = "fedstate superlink"
    parser.description = "Start a Flower SuperLink that tells who waits."
    parser.parse_args(arguments)
    # flwr's function reads the command line of the process, which is this command alone.
    sys.argv = ["flower-superlink", *arguments]
    run_superlink(_parse_superlink_lifespan_config())
