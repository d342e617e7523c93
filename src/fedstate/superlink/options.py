"""The options of ``fedstate superlink``: those of flower-superlink, and who may call it."""

import argparse
from collections.abc import Sequence

from fedstate.flower.superlink_app import parse, superlink_parser
from fedstate.superlink.control_door import add_options, door_of
from fedstate.superlink.main import run_superlink

DESCRIPTION = (
    "Flower's SuperLink with push notification: "
    "waiting nodes, executors and ServerApps are woken."
)


def main(arguments: Sequence[str]) -> None:
    """Run a SuperLink with these command-line arguments.

    Raises
    ------
    SystemExit
        For wrong usage (2), and for --help and --version (0).
    FedstateError
        A setting, the database or the accounts cannot be used.
    """
    parser = superlink_parser()
    parser.prog = "fedstate superlink"
    parser.description = DESCRIPTION
    add_options(parser.add_argument_group("accounts"))
    parser.parse_args(arguments)

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_options(ours)
    options, rest = ours.parse_known_args(arguments)
    config = parse(rest, program=parser.prog, description=DESCRIPTION)
    run_superlink(config, door_of(options))
