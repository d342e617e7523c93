"""What preparing a ServerApp's process changes in flwr: an upgrade that moves it fails here."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flwr.cli.install import install_from_fab
from tests.stack.executor.conftest import probe_fab

from fedstate.flower.serverapp import install_apps_whole, program


def test_serverapps_that_start_together_find_all_of_their_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fab = probe_fab(**{f"probe/part_{n}": f"number = {n}\n" for n in range(200)})
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.setattr(program(), "install_from_fab", install_from_fab)
    install_apps_whole()

    def parts(_: int) -> int:
        place = program().install_from_fab(fab, skip_prompt=True)
        return len(list((place / "probe").glob("part_*.py")))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parts, range(8))) == [200] * 8


def test_the_program_installs_through_the_name_that_is_bound_anew() -> None:
    assert "install_from_fab" in program().run_serverapp.__code__.co_names
