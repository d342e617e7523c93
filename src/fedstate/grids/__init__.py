"""Grids for ServerApps: what a ServerApp adds to the Grid that Flower gives it.

One call wraps the Grid with all of them, under any strategy::

    from fedstate.grids import wrap_grid

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        grid = wrap_grid(grid, context)
        FedAvg().start(grid=grid, ...)
        grid.audit()

`PollingGrid` takes in replies as soon as they have come, `ResendingGrid` sends the message of a
node that was lost again, `RecordingGrid` records each reply for ``fedstate verify`` and hands
replies over in a fixed order. `wait_for_nodes` waits for nodes with a bound, and `GridWrapper`
is the base for a Grid of one's own.
"""

from fedstate.grids.polling import PollingGrid
from fedstate.grids.recording import RecordingGrid
from fedstate.grids.resending import OnLostNode, ResendingGrid
from fedstate.grids.waiting import wait_for_nodes
from fedstate.grids.wrapper import GridWrapper
from fedstate.grids.wrapping import wrap_grid

__all__ = [
    "GridWrapper",
    "OnLostNode",
    "PollingGrid",
    "RecordingGrid",
    "ResendingGrid",
    "wait_for_nodes",
    "wrap_grid",
]
