"""Certificates, authority and node keys are replaced under four runs, and nobody notices."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from fedstate.connection import Connection
from fedstate.errors import CertificateError
from fedstate.flower.control import control
from fedstate.health import check_health
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from tests.open_directory import new_directory
from tests.stack.conftest import ROOT, command
from tests.waiting import wait_until

APP = ROOT / "tests" / "apps" / "counting"
ROUNDS = 3
SECONDS = 120.0


class Rotation:
    """A federation, and what is done to its certificates."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        here = federation.directory
        self.directories = [here / "superlink", *(node.directory for node in federation.nodes)]
        self.ports = [federation.port, *(node.port for node in federation.nodes)]

    def renew(self, *options: str) -> None:
        authority = f"--authority={self.federation.directory / 'authority'}"
        done = command(
            *("fedstate", "certificates", "renew", authority, *options),
            *self.directories,
            environment=self.federation.environment,
        )
        assert done.returncode == 0, done.stderr

    def replace_keys(self) -> dict[int, bytes]:
        """Replace each node's key, at the node and then at the SuperLink; return the keys."""
        with control(self.federation.connection) as link:
            ids = {known.public_key: known.node_id for known in link.nodes()}
        new = {}
        for node in self.federation.nodes:
            node_id = ids[node.public_key]
            for words in (
                ("certificates", "node", node.directory, "--replace"),
                ("node", "replace-key", str(node_id), node.directory / "node.pub"),
            ):
                done = command("fedstate", *words, environment=self.federation.environment)
                assert done.returncode == 0, done.stderr
            new[node_id] = node.public_key
        return new

    def are_used(self, keys: dict[int, bytes]) -> bool:
        """Whether the nodes have these keys at the SuperLink, and go on with them."""
        with control(self.federation.connection) as link:
            known = {each.node_id: each for each in link.nodes()}
        assert all(known[each].public_key == key for each, key in keys.items())
        assert all(known[each].online for each in keys), "no ServerApp has seen one away"
        return all(
            node.supernode.log_file.read_text().count("it goes on with key")
            for node in self.federation.nodes
        )

    @property
    def trusted(self) -> bytes:
        return self.federation.root_certificates.read_bytes()

    def shown(self) -> set[str]:
        """Return the certificates that the servers show."""
        return {ssl.get_server_certificate(("127.0.0.1", port)) for port in self.ports}

    def has_reached_the_tasks(self) -> bool:
        """Whether every run that is under way has the authority that its server has."""
        copies = [*self.federation._rooms.directory.glob("*/*/ca.crt")]
        assert copies
        return all(file.read_bytes() == self.trusted for file in copies)


def test_all_certificates_and_keys_are_replaced_under_four_runs(
    federation: Federation, tmp_path: Path
) -> None:
    rotation, place = Rotation(federation), new_directory()
    before = {process.name: process.pid for process in federation.processes}
    (tmp_path / "old.crt").write_bytes(rotation.trusted)

    def begin(name: str, **config: Any) -> int:
        config |= {"rounds": ROUNDS, "nodes": len(federation.nodes), "seed": 7}
        return start(federation, APP, {**config, "result": str(place / f"{name}.json")})

    def outcome(name: str) -> Any:
        return json.loads((place / f"{name}.json").read_text())

    def complete(*run_ids: int) -> None:
        statuses = wait_for_runs(federation, run_ids, SECONDS)
        assert set(statuses.values()) == {"finished:completed"}

    names = ["first", "second", "third", "fourth"]
    runs = {
        # In the second round, one step of each run waits for a file.
        name: begin(name, **{"pause": str(place / f"{name}.go"), "pause-round": 2})
        for name in names
    }
    wait_until(lambda: all((place / f"{name}.reached").exists() for name in names), SECONDS)

    shown = rotation.shown()
    rotation.renew("--force")
    assert not rotation.shown() & shown
    rotation.renew("--new-authority")
    assert not rotation.shown() & shown
    keys = rotation.replace_keys()
    for name in names[:2]:  # with two authorities, and steps that began under the old keys
        (place / f"{name}.go").touch()
    complete(*(runs[name] for name in names[:2]))
    wait_until(rotation.has_reached_the_tasks, SECONDS)
    wait_until(lambda: rotation.are_used(keys), SECONDS)
    rotation.renew("--drop-old-authority")
    for name in names[2:]:  # with the new one alone
        (place / f"{name}.go").touch()
    complete(*runs.values())

    complete(begin("last"))
    assert outcome("last")["errors"] == []
    for name in names:
        assert outcome(name) == outcome("last"), "to the bit what an undisturbed run comes to"
    assert {process.name: process.pid for process in federation.processes} == before
    assert all(process.running for process in federation.processes)

    verified = command(
        *("fedstate", "verify", "--format", "json", *map(str, runs.values())),
        environment=federation.environment,
    )
    assert verified.returncode == 0, verified.stdout
    for port in rotation.ports:
        assert check_health(f"https://127.0.0.1:{port}/health", federation.root_certificates)
    old = Connection("old", federation.connection.address, tmp_path / "old.crt")
    with control(old) as link, pytest.raises(CertificateError, match="is not signed by an"):
        link.nodes()
