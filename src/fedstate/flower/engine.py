"""Which of Flower's engines a ServerApp runs in."""

import os

from flwr.serverapp import Grid

# The Simulation Engine gives a ServerApp this Grid; flwr has no public way to ask.
from flwr.superlink.grid.inmemory_grid import InMemoryGrid


def engine_of(grid: Grid) -> str:
    """Return ``simulation``, or how the deployment says that it runs its components.

    Whoever starts the ServerApp's executor sets ``FEDSTATE_ENGINE``: ``processes`` or
    ``containers``.
    """
    if isinstance(grid, InMemoryGrid):
        return "simulation"
    return os.environ.get("FEDSTATE_ENGINE", "processes")
