"""All Grids around the one that Flower gives to a ServerApp."""

from flwr.app import Context
from flwr.serverapp import Grid

from fedstate.grids.polling import PollingGrid
from fedstate.grids.recording import RecordingGrid
from fedstate.grids.resending import RESEND_SECONDS, OnLostNode, ResendingGrid


def wrap_grid(
    grid: Grid,
    context: Context,
    *,
    resend_seconds: float = RESEND_SECONDS,
    on_lost_node: OnLostNode = "continue",
) -> RecordingGrid:
    """Return a Grid that waits without polling, sends again after a loss, and keeps a record.

    Parameters
    ----------
    grid : Grid
        The ServerApp's Grid.
    context : Context
        The ServerApp's Context.
    resend_seconds : float
        How many seconds each `send_and_receive` waits for nodes that are away.
    on_lost_node : str
        What to do when a node stays away longer: ``continue`` hands its error to the strategy,
        ``fail`` ends the run.

    Raises
    ------
    SettingError
        `resend_seconds` or `on_lost_node` has a value that cannot be used.
    """
    resending = ResendingGrid(PollingGrid(grid), seconds=resend_seconds, on_lost=on_lost_node)
    return RecordingGrid(resending, context)
