"""What the polling Grid changes in flwr's: an upgrade that moves it fails here."""

import inspect
import time

import pytest
from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError, pull_objects
from flwr.superlink.grid import http_grid

from fedstate.flower.pull_backoff import FIRST_WAIT_SECONDS, patch_pull_backoff


def test_a_part_on_its_way_is_looked_for_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def not_yet(object_id: str) -> bytes:
        waits.append(len(waits))
        if len(waits) < 3:
            raise ObjectUnavailableError(object_id)
        return b"there"

    monkeypatch.setattr(http_grid, "pull_objects", pull_objects)
    patch_pull_backoff(http_grid.HttpGrid(token="token"))
    pull = vars(http_grid)["pull_objects"]
    began = time.monotonic()
    assert pull(["part"], not_yet) == {"part": b"there"}
    assert len(waits) == 3
    # flwr's own waits for the same are 1 s and 2 s.
    assert time.monotonic() - began < 2.0


def test_flwr_still_waits_a_second_and_has_the_parameter() -> None:
    """When this default goes down, `fedstate.flower.pull_backoff` has become needless."""
    wait = inspect.signature(pull_objects).parameters["initial_backoff"].default
    assert wait > 10 * FIRST_WAIT_SECONDS


def test_the_grid_pulls_through_the_name_that_is_bound_anew() -> None:
    names = http_grid.HttpGrid.pull_messages.__code__.co_names
    assert "pull_objects" in names
