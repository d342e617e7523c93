"""The options of ``fedstate superlink``: flower-superlink's, each API's place, and accounts."""

import argparse
from collections.abc import Sequence

from fedstate.flower.superlink_app import parse, superlink_parser
from fedstate.serving.options import add_limit_options, limits_of
from fedstate.superlink import control_door
from fedstate.superlink.listeners import Addresses
from fedstate.superlink.main import run_superlink

DESCRIPTION = (
    "Flower's SuperLink with push notification: "
    "waiting nodes, executors and ServerApps are woken."
)
_LISTENERS = (
    "Everything is served on --host and --port, or each API on a listener of its own: all three "
    "options or none, each any number of times."
)


def main(arguments: Sequence[str]) -> None:
    """Run a SuperLink with these command-line arguments.

    Raises
    ------
    SystemExit
        For wrong usage (2), and for --help and --version (0).
    FedstateError
        A setting, a certificate, the database, the accounts or an address cannot be used.
    """
    parser = superlink_parser()
    parser.prog = "fedstate superlink"
    parser.description = DESCRIPTION
    parser.set_defaults(host=None, port=None)
    _add_options(parser.add_argument_group("listeners", _LISTENERS))
    add_limit_options(parser.add_argument_group("limits"))
    control_door.add_options(parser.add_argument_group("accounts"))
    one_port = parser.parse_args(arguments)

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(ours)
    add_limit_options(ours)
    control_door.add_options(ours)
    options, rest = ours.parse_known_args(arguments)
    addresses = Addresses(options.control, options.fleet, options.runtime)
    addresses.check(one_port=one_port.host is not None or one_port.port is not None)
    config = parse(rest, program=parser.prog, description=DESCRIPTION)
    run_superlink(config, addresses, control_door.door_of(options), limits=limits_of(options))


def _add_options(parser: argparse._ActionsContainer) -> None:
    for option, whom in (
        ("--control", "the operator, and who starts runs: the Control API"),
        ("--fleet", "nodes: the Fleet API"),
        ("--runtime", "the ServerApps' executor: the Runtime API"),
    ):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="HOST:PORT",
            help=f"Address for {whom}.",
        )
