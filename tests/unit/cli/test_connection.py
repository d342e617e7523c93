"""The steps between the services: writing a connection and enrolling nodes."""

import tomllib
from pathlib import Path

import pytest
from tests.commands import fedstate

from fedstate.certificates.authority import ensure_authority
from fedstate.certificates.keys import ensure_node_key
from fedstate.local.process import free_port


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def refusal(*arguments: str | Path) -> str:
    """Return the one sentence in which a command ends."""
    done = fedstate(*arguments)
    assert done.exit_code == 1
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    return line


def connect(name: str, address: str, certificates: Path, *options: str) -> str:
    done = fedstate(
        *("connection", name, "--address", address, "--root-certificates", certificates),
        *options,
    )
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_a_connection_is_the_default_one_unless_told_otherwise(
    tmp_path: Path, home: Path
) -> None:
    said = connect("first", "a:1", tmp_path / "ca.crt")
    assert said == f"Connection 'first' to a:1 is in {home / 'config.toml'}.\n"
    connect("second", "b:2", tmp_path / "ca.crt", "--no-default")
    superlinks = tomllib.loads((home / "config.toml").read_text())["superlink"]
    assert superlinks["default"] == "first"
    assert superlinks["second"]["address"] == "b:2"


def test_an_address_that_is_none_is_refused(tmp_path: Path, home: Path) -> None:
    arguments = ("--address", "superlink", "--root-certificates", tmp_path / "ca.crt")
    assert "'superlink', which is not HOST:PORT" in refusal("connection", "here", *arguments)
    assert not home.exists()


@pytest.mark.parametrize("certificate", [None, "nonsense", "ä"])
def test_enrolling_needs_the_authority_of_the_connection(
    tmp_path: Path, certificate: str | None
) -> None:
    ensure_node_key(tmp_path)
    if certificate:
        (tmp_path / "ca.crt").write_text(certificate)
    connect("here", "a:1", tmp_path / "ca.crt")
    problem = "hold no PEM certificate" if certificate else "are missing"
    line = refusal("enrol", tmp_path / "node.pub", "--wait", "0")
    assert line.startswith(f"fedstate: The root certificates {tmp_path / 'ca.crt'} of ")
    assert line.endswith(f"{problem}.")


def test_enrolling_at_a_superlink_that_is_not_there_says_so(tmp_path: Path) -> None:
    ensure_authority(tmp_path)
    ensure_node_key(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    connect("here", address, tmp_path / "ca.crt")
    line = refusal("enrol", tmp_path / "node.pub", "--wait", "0")
    assert line.startswith(f"fedstate: The SuperLink at {address} cannot be reached")


@pytest.mark.usefixtures("connected")
def test_a_key_is_registered_once(tmp_path: Path) -> None:
    keys = [ensure_node_key(tmp_path / name) for name in ("first", "second")]
    assert fedstate("enrol", keys[0]).stdout == f"{keys[0]}: registered\n"
    done = fedstate("enrol", *keys)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{keys[0]}: was registered already",
        f"{keys[1]}: registered",
    ]


@pytest.mark.usefixtures("connected")
def test_a_key_that_is_none_is_named(tmp_path: Path) -> None:
    line = refusal("enrol", tmp_path / "node.pub")
    assert line.startswith(f"fedstate: The public key {tmp_path / 'node.pub'} is missing")


def test_enrolling_needs_a_connection(home: Path) -> None:
    line = refusal("enrol", "node.pub")
    assert line.startswith(f"fedstate: Flower's configuration {home / 'config.toml'} is missing")


def test_the_simulation_needs_no_address(home: Path) -> None:
    done = fedstate("connection", "simulation")
    file = home / "config.toml"
    assert done.stdout == (
        f"Connection 'simulation' to Flower's Simulation Engine is in {file}.\n"
    )
    assert tomllib.loads(file.read_text()) == {
        "superlink": {"simulation": {"address": ":local:"}, "default": "simulation"}
    }


@pytest.mark.parametrize("options", [(), ("--address", "a:1"), ("--root-certificates", "ca.crt")])
def test_any_other_needs_both(home: Path, options: tuple[str, ...]) -> None:
    line = refusal("connection", "here", *options)
    assert line.startswith("fedstate: Connection 'here' needs --address HOST:PORT and --root-")
    assert not home.exists()
