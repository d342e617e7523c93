"""One call puts every Grid around the one that a ServerApp was given."""

from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedstate import grids
from fedstate.errors import SettingError
from fedstate.grids import GridWrapper, PollingGrid, RecordingGrid, ResendingGrid, wrap_grid


class Given(GridWrapper):
    """Stands for the Grid that Flower gives."""

    def __init__(self) -> None:
        pass

    @property
    def innermost(self) -> "Given":
        return self


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("FEDSTATE_RUNS", str(tmp_path))
    return Context(7, 9, {}, RecordDict(), {})


def test_all_are_around_it_in_the_order_that_they_need(context: Context) -> None:
    given = Given()
    grid = wrap_grid(given, context, resend_seconds=5, on_lost_node="fail")
    assert isinstance(grid, RecordingGrid)
    assert isinstance(grid.inner, ResendingGrid)
    assert isinstance(grid.inner.inner, PollingGrid)
    assert grid.inner.inner.inner is given
    assert grid.innermost is given


def test_a_setting_that_cannot_be_used_is_refused(context: Context) -> None:
    with pytest.raises(SettingError, match="'resend-seconds' has the value -1"):
        wrap_grid(Given(), context, resend_seconds=-1)
    with pytest.raises(SettingError, match="'on-lost-node' has the value 'give up'"):
        wrap_grid(Given(), context, on_lost_node="give up")  # type: ignore[arg-type]


def test_everything_public_is_exported() -> None:
    assert all(hasattr(grids, name) for name in grids.__all__)
