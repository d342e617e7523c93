"""Waiting for nodes, with a bound."""

from collections.abc import Iterable

import pytest

from fedstate.errors import FederationError
from fedstate.grids import GridWrapper, wait_for_nodes


class Growing(GridWrapper):
    """One node more is connected at each look."""

    def __init__(self) -> None:
        self.connected = 0

    def get_node_ids(self) -> Iterable[int]:
        self.connected += 1
        return range(self.connected)


def test_it_ends_as_soon_as_there_are_enough() -> None:
    grid = Growing()
    wait_for_nodes(grid, 2, seconds=60)
    assert grid.connected == 2


def test_the_refusal_says_how_many_there_are() -> None:
    with pytest.raises(FederationError, match="1 of the 5 nodes that 'min-nodes' asks for"):
        wait_for_nodes(Growing(), 5, seconds=0)
