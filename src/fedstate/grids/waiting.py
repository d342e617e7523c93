"""Waiting for nodes, with a bound."""

import time

from flwr.serverapp import Grid

from fedstate.errors import FederationError

POLL_SECONDS = 0.5


def wait_for_nodes(grid: Grid, count: int, seconds: float) -> None:
    """Wait until ``count`` nodes are connected; Flower's own strategies wait without a bound.

    Raises
    ------
    FederationError
        If they are not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while (connected := len(list(grid.get_node_ids()))) < count:
        if time.monotonic() > deadline:
            raise FederationError(
                f"{connected} of the {count} nodes that 'min-nodes' asks for are connected after "
                f"{seconds:.0f} s; start more SuperNodes, or set a lower 'min-nodes'."
            )
        time.sleep(POLL_SECONDS)
