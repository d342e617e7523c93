"""What preparing a ServerApp's process changes in flwr: an upgrade that moves it fails here."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flwr.cli.install import install_from_fab
from flwr.superlink.grid import HttpGrid
from tests.stack.executor.conftest import probe_fab

from fedstate.executor.serverapp import WaitingGrid, prepare
from fedstate.flower.serverapp_program import program


def test_serverapps_that_start_together_find_all_of_their_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fab = probe_fab(**{f"probe/part_{n}": f"number = {n}\n" for n in range(200)})
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.setattr(program(), "install_from_fab", install_from_fab)
    monkeypatch.setattr(program(), "HttpGrid", HttpGrid)
    prepare()

    def parts(_: int) -> int:
        place = program().install_from_fab(fab, skip_prompt=True)
        return len(list((place / "probe").glob("part_*.py")))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parts, range(8))) == [200] * 8


def test_the_program_finds_both_by_the_names_that_are_bound_anew() -> None:
    assert {"install_from_fab", "HttpGrid"} <= set(program().run_serverapp.__code__.co_names)


def test_the_grid_has_the_parts_that_its_connection_is_made_of() -> None:
    grid = WaitingGrid("127.0.0.1:1", insecure=True, token="token")
    grid._connect()
    ours = grid._runtime_client
    grid._disconnect()
    HttpGrid._connect(grid)
    flwrs = grid._runtime_client
    assert isinstance(ours, type(flwrs))
    assert [type(each) for each in ours._interceptors] == [
        type(each) for each in flwrs._interceptors
    ]
    assert ours._base_url == flwrs._base_url
    grid.close()
