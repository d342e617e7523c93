import tomllib
from pathlib import Path

import pytest

from fedstate.connection import Connection, read_connection, write_connection
from fedstate.errors import SettingError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def connection(name: str, tmp_path: Path) -> Connection:
    return Connection(name, "127.0.0.1:8000", tmp_path / "ca.crt")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_connection(connection("here", tmp_path), default=True)
    assert read_connection() == read_connection("here") == connection("here", tmp_path)


def test_other_connections_stay(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[superlink.theirs]\naddress = "a:1"\n[other]\nx = 1\n')
    write_connection(connection("here", tmp_path))
    config = tomllib.loads((home / "config.toml").read_text())
    assert config["superlink"]["theirs"] == {"address": "a:1"}
    assert config["other"] == {"x": 1}


def test_no_configuration_is_said(home: Path) -> None:
    with pytest.raises(SettingError, match=r"config\.toml is missing"):
        read_connection()


def test_an_unknown_connection_is_said_with_the_known_ones(tmp_path: Path) -> None:
    write_connection(connection("here", tmp_path))
    with pytest.raises(SettingError, match="no connection 'there'; it has: here, simulation"):
        read_connection("there")


def test_a_connection_without_tls_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[superlink.bare]\naddress = "a:1"\ninsecure = true\n')
    with pytest.raises(SettingError, match="over TLS alone"):
        read_connection("bare")


def test_broken_toml_is_said_and_stays(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("[superlink")
    with pytest.raises(SettingError, match="is not valid TOML"):
        write_connection(connection("here", tmp_path))
    assert (home / "config.toml").read_text() == "[superlink"
