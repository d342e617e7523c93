"""The SuperLink that Flower's configuration names is asked, and none is started to show nodes."""

from pathlib import Path

import pytest
from tests.bad_paths import bound_by_permissions
from tests.contract.flower.in_process import SuperLink
from tests.contract.flower.in_process_run import Run

from fedstate.errors import FederationError
from fedstate.flower.control_named import control_by_name


@pytest.mark.parametrize("name", [None, "here"])
def test_the_superlink_of_flwrs_configuration_is_asked(
    superlink: SuperLink,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text(
        '[superlink]\ndefault = "here"\n'
        f'[superlink.here]\naddress = "{superlink.address}"\ninsecure = true\n'
    )
    with control_by_name(name) as control:
        superlink.reach(control._client)
        assert control.run_status(run.id) == "running"


@pytest.mark.parametrize("address", [":local:", ":local-in-memory:"])
@pytest.mark.parametrize("name", [None, "mine"])
def test_the_superlink_of_a_simulation_is_not_started_for_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, address: str
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text(
        f'[superlink]\ndefault = "mine"\n[superlink.mine]\naddress = "{address}"\n'
        "options.num-supernodes = 2\n"
    )
    monkeypatch.setattr("flwr.cli.local_superlink._start_local_superlink", None)
    refused = pytest.raises(FederationError, match="'mine' is that of Flower's Simulation Engine")
    with refused, control_by_name(name):
        raise AssertionError


def test_without_a_configuration_no_superlink_is_started_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.setattr("flwr.cli.local_superlink._start_local_superlink", None)
    refused = pytest.raises(FederationError, match="name another one by --superlink")
    with refused, control_by_name(None):
        raise AssertionError


@pytest.mark.parametrize("file", ["credentials.yaml", "config.toml"])
def test_a_file_that_may_not_be_read_is_named_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text(
        '[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:1"\n'
        "insecure = true\n"
    )
    (tmp_path / "credentials.yaml").touch()
    (tmp_path / file).chmod(0)
    with (
        bound_by_permissions(),
        pytest.raises(FederationError, match=f"{file}.*ermission denied") as raised,
        control_by_name(None),
    ):
        raise AssertionError
    assert "Errno" not in str(raised.value)
