"""The options of ``fedstate superlink``: flower-superlink's, and what is ours."""

import argparse
from collections.abc import Sequence

from fedstate.files import check_readable
from fedstate.flower.log_options import add_log_options, configure_logs
from fedstate.flower.superlink_app import parse, superlink_parser
from fedstate.logs import logger
from fedstate.serving.options import add_limit_options, add_socket_option, limits_of, socket_of
from fedstate.superlink import control_door
from fedstate.superlink.listeners import Addresses
from fedstate.superlink.main import run_superlink

DESCRIPTION = (
    "Flower's SuperLink with push notification: "
    "waiting nodes, executors and ServerApps are woken."
)
# Of flwr's options, those that name files: flwr says at most which option it is.
_FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certfile", "superexec_auth_secret_file")
_LISTENERS = (
    "Everything is served on --host and --port, or each API on a listener of its own: all three "
    "options or none, each any number of times."
)


def main(arguments: Sequence[str], examples: str = "") -> None:
    """Run a SuperLink with these command-line arguments.

    Parameters
    ----------
    arguments : sequence of str
        They, without the name of the command.
    examples : str
        What the help ends with.

    Raises
    ------
    SystemExit
        For wrong usage (2), and for --help and --version (0).
    FedstateError
        A setting, a certificate, the database, the accounts or an address cannot be used.
    """
    parser = options_parser(examples)
    given = parser.parse_args(arguments)

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(ours)
    control_door.add_options(ours)
    add_limit_options(ours)
    _add_bounds(ours)
    add_log_options(ours)
    options, rest = ours.parse_known_args(arguments)
    configure_logs("superlink", options)
    addresses = Addresses(options.control, options.fleet, options.runtime, socket_of(options))
    addresses.check(one_port=given.host is not None or given.port is not None)
    for name in _FILES:
        if path := getattr(given, name):
            check_readable(f"--{name.replace('_', '-')}", path)
    config = parse(rest, program=parser.prog, description=DESCRIPTION)
    door = control_door.door_of(options)
    if door.accounts is not None and config.insecure:
        logger.warning(
            "Whoever listens on the network reads the tokens of accounts, since there is no TLS; "
            "give --ssl-certfile, --ssl-keyfile and --ssl-ca-certfile."
        )
    run_superlink(config, addresses, door, limits=limits_of(options), keep_log=options.keep_log)


def options_parser(examples: str = "") -> argparse.ArgumentParser:
    """Return the parser of all options, flower-superlink's and ours, for help and errors."""
    parser = superlink_parser()
    parser.prog = "fedstate superlink"
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = examples.replace("\n\n", "\n")
    parser.set_defaults(host=None, port=None)
    _add_options(parser.add_argument_group("listeners", _LISTENERS))
    control_door.add_options(parser.add_argument_group("accounts"))
    add_limit_options(parser.add_argument_group("limits"))
    _add_bounds(parser.add_argument_group("evidence of runs"))
    add_log_options(parser.add_argument_group("logs"))
    return parser


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
    add_socket_option(
        parser,
        "Unix socket to serve the Runtime API on, too, without TLS, for an executor on this "
        "machine (default: none).",
    )


def _add_bounds(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--keep-log",
        type=_count,
        metavar="MESSAGES",
        help="Number of messages of each node in each run, with their receipts, that the "
        "SuperLink keeps evidence of for `fedstate verify` (default: all).",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)
