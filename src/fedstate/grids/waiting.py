"""Waiting for nodes, with a bound."""

from flwr.serverapp import Grid

from fedstate.errors import FederationError
from fedstate.waiting import wait_until

POLL_SECONDS = 0.5


def wait_for_nodes(grid: Grid, count: int, seconds: float) -> None:
    """Wait until ``count`` nodes are connected; Flower's own strategies wait without a bound.

    Raises
    ------
    FederationError
        If they are not within ``seconds``.
    """
    connected = 0

    def enough() -> bool:
        nonlocal connected
        connected = len(list(grid.get_node_ids()))
        return connected >= count

    if not wait_until(enough, seconds, poll_seconds=POLL_SECONDS):
        raise FederationError(
            f"{connected} of the {count} nodes that 'min-nodes' asks for are connected after "
            f"{seconds:.0f} s; start more SuperNodes, or set a lower 'min-nodes'."
        )
