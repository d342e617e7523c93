import tomllib
from pathlib import Path

import pytest

from fedstate.connection import (
    Connection,
    authorities_of,
    read_connection,
    write_connection,
    write_simulation,
)
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


def test_the_simulation_leaves_the_others_and_their_default(tmp_path: Path, home: Path) -> None:
    write_connection(connection("here", tmp_path), default=True)
    write_simulation()
    superlinks = tomllib.loads((home / "config.toml").read_text())["superlink"]
    assert superlinks["simulation"] == {"address": ":local:"}
    assert superlinks["default"] == "here"


def test_the_authority_of_an_address_is_that_of_its_connections(tmp_path: Path) -> None:
    assert authorities_of("a:1") == []
    for name, address in (("one", "a:1"), ("two", "b:2"), ("three", "a:1")):
        write_connection(Connection(name, address, tmp_path / f"{name}.crt"))
    assert authorities_of("a:1") == [tmp_path / "one.crt", tmp_path / "three.crt"]
    assert authorities_of("c:3") == []


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


@pytest.mark.parametrize(
    "address", ["", "superlink", "superlink:", ":8000", "https://a:1", "a:0"]
)
def test_an_address_without_host_and_port_is_refused(
    tmp_path: Path, home: Path, address: str
) -> None:
    with pytest.raises(SettingError, match=f"The address is '{address}', which is not HOST:PORT"):
        write_connection(Connection("here", address, tmp_path / "ca.crt"))
    assert not home.exists()


@pytest.mark.parametrize("name", ["", "default"])
def test_a_name_that_no_connection_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match=f"cannot be called '{name}'"):
        write_connection(connection(name, tmp_path))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff", "is not valid TOML"),
        (b"superlink = 3", "'superlink' in .* is 3, and not a table"),
    ],
)
def test_a_configuration_that_is_none_is_said_and_stays(
    tmp_path: Path, home: Path, content: bytes, complaint: str
) -> None:
    home.mkdir()
    (home / "config.toml").write_bytes(content)
    with pytest.raises(SettingError, match=complaint):
        read_connection("here")
    with pytest.raises(SettingError, match=complaint):
        write_connection(connection("here", tmp_path))
    assert (home / "config.toml").read_bytes() == content


def test_values_that_are_no_text_are_no_connection(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("[superlink.x]\naddress = 3\nroot-certificates = 4\n")
    with pytest.raises(SettingError, match="has no address or no root-certificates"):
        read_connection("x")
