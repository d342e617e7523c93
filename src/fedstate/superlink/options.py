"""The options of ``fedstate superlink``: those of flower-superlink."""

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
    run_superlink(parse(arguments, program="fedstate superlink", description=DESCRIPTION))
