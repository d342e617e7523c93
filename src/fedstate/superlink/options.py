"""The options of ``fedstate superlink``: those of flower-superlink, and a bound for evidence."""

import argparse
from collections.abc import Sequence

from fedstate.flower.superlink_app import parse
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
    """
    config = parse(
        arguments,
        program="fedstate superlink",
        description=DESCRIPTION,
        add_options=_add_options,
    )
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(ours)
    options, _ = ours.parse_known_args(arguments)
    run_superlink(config, options.keep_log)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("evidence of runs").add_argument(
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
