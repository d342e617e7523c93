"""The options of ``fedstate superlink``: those of flower-superlink."""

from collections.abc import Sequence

from fedstate.flower.superlink_options import superlink_parser, superlink_settings
from fedstate.superlink.main import run_superlink


def main(arguments: Sequence[str]) -> None:
    """Run a SuperLink with these command-line arguments.

    Raises
    ------
    SystemExit
        For wrong usage (2), and for --help and --version (0).
    """
    parser = superlink_parser()
    parser.prog = "fedstate superlink"
    parser.description = (
        "Start Flower's SuperLink with push notification: waiting nodes, executors and "
        "ServerApps are woken."
    )
    parser.parse_args(arguments)
    run_superlink(superlink_settings(arguments))
