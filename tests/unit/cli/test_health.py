"""Whose authority vouches for an address is found, and the answer is a sentence or JSON."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bad_paths import bound_by_permissions
from tests.commands import fedstate
from tests.tls_server import SENTENCES, TlsServer, tls_server

from fedstate.connection import Connection, write_connection

LOCAL, COMPOSE = Path(".fedstate/superlink/ca.crt"), Path("certs/generated/ca.crt")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    return tmp_path


def put(authority: Path, place: Path) -> None:
    place.parent.mkdir(parents=True)
    shutil.copy(authority, place)


def test_no_authority_is_said() -> None:
    done = fedstate("health", "127.0.0.1:8000")
    assert done.exit_code == 1
    assert done.stderr.startswith("fedstate: No authority is known here for 127.0.0.1:8000")
    assert "give the authority's ca.crt as --root-certificates." in done.stderr


def test_a_socket_needs_no_authority(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'gone'}"
    done = fedstate("health", address, "--format", "json")
    assert done.exit_code == 1
    problem = f"{address} is not well: there is no such socket."
    assert json.loads(done.stdout) == {"address": address, "healthy": False, "problem": problem}


@pytest.mark.parametrize("given", [(), ("--root-certificates", LOCAL)])
def test_an_address_that_is_none_is_the_culprit_whatever_else_is_wrong(
    here: Path, given: tuple[str | Path, ...]
) -> None:
    LOCAL.parent.mkdir(parents=True)
    LOCAL.write_text("")
    (here / ".fedstate").chmod(0)
    with bound_by_permissions():
        done = fedstate("health", "/no/path", *given)
    assert done.exit_code == 1
    assert done.stderr.startswith("fedstate: '/no/path' is not an address: give HOST:PORT")


@pytest.mark.parametrize("place", [LOCAL, COMPOSE])
def test_that_of_the_federation_in_this_directory_is_found(
    server: TlsServer, place: Path
) -> None:
    put(server.authority_file, place)
    done = fedstate("health", server.address)
    assert (done.exit_code, done.stdout) == (0, f"{server.address} is well.\n")


def test_that_of_a_connection_to_the_address_is_found(server: TlsServer) -> None:
    write_connection(Connection("there", server.address, server.authority_file))
    done = fedstate("health", server.address, "--format", "json")
    answer = {"address": server.address, "healthy": True, "warnings": []}
    assert json.loads(done.stdout) == answer


def test_each_that_may_vouch_is_tried(server: TlsServer) -> None:
    put(server.directory / "another authority" / "ca.crt", LOCAL)
    refused = fedstate("health", server.address)
    assert refused.exit_code == 1
    assert "is not signed by an authority that is trusted here" in refused.stderr
    put(server.authority_file, COMPOSE)
    assert fedstate("health", server.address).exit_code == 0
    given = fedstate("health", server.address, "--root-certificates", LOCAL)
    assert given.exit_code == 1, "the one that is given is the only one"


@pytest.mark.parametrize("wrong", SENTENCES)
def test_the_culprit_is_said_in_json_too(server: TlsServer, wrong: str) -> None:
    server.plan = [wrong]
    options = ("--root-certificates", server.trusted(), "--format", "json")
    done = fedstate("health", server.address, *options)
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["healthy"] is False
    assert answer["problem"].startswith(f"{server.address} is not well: ")
    assert SENTENCES[wrong] in answer["problem"]
