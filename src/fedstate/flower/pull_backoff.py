"""A shorter backoff for objects of a reply that have not arrived at the SuperLink yet.

A SuperNode announces a reply and then sends its arrays. A Grid that pulls as soon as a reply is
announced finds many a reply in between, and flwr then waits a whole second before it tries again.
"""

from functools import partial

from flwr.serverapp import Grid

# `HttpGrid` calls this function without its parameter for the backoff, by the name that its
# module has for it; neither `HttpGrid` nor the app has a way to set it.
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

FIRST_WAIT_SECONDS = 0.05


def patch_pull_backoff(grid: Grid) -> None:
    """Let every `HttpGrid` of this process wait 0.05 s at first, if this Grid is one.

    The wait is doubled each time, as before.
    """
    if isinstance(grid, http_grid.HttpGrid):
        quick = partial(pull_objects, initial_backoff=FIRST_WAIT_SECONDS)
        http_grid.pull_objects = quick  # type: ignore[attr-defined]  # flwr imports it, unexported
