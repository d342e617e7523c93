"""Accounts in a federation, as stock ``flwr`` and ``fedstate`` meet them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedstate.accounts.account import Role
from fedstate.accounts.changes import add_account, revoke_account
from fedstate.connection import write_connection
from fedstate.flower.control import control
from fedstate.local import accounts
from fedstate.local.federation import Federation
from tests.stack.conftest import ROOT, command

COUNTING = ROOT / "tests" / "apps" / "counting"


class Users:
    """Users of one federation, each with a directory of Flower's."""

    def __init__(self, federation: Federation, directory: Path) -> None:
        self.federation = federation
        self.accounts = accounts.accounts_file(federation.directory / "superlink")
        self._directory = directory

    def home(self, name: str, token: str | None) -> Path:
        """Let a user have a token, or none."""
        home = self._directory / name
        write_connection(
            replace(self.federation.connection, token=token), default=True, home=home
        )
        return home

    def flwr(self, home: Path, *arguments: str) -> tuple[int, str]:
        """Run stock ``flwr``; return its exit code and what it says."""
        environment = {**self.federation.environment, "FLWR_HOME": str(home)}
        done = command("flwr", *arguments, environment=environment)
        said = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in said
        return done.returncode, said


@pytest.fixture(scope="module")
def users(federation: Federation, tmp_path_factory: pytest.TempPathFactory) -> Users:
    return Users(federation, tmp_path_factory.mktemp("users"))


@pytest.fixture(scope="module")
def alice(users: Users) -> Path:
    return users.home("alice", add_account(users.accounts, "alice", Role.SUBMITTER))


@pytest.fixture(scope="module")
def operators_run(users: Users) -> Iterator[int]:
    with control(users.federation.connection) as link:
        yield link.start_run(COUNTING, {})


@pytest.mark.parametrize(
    ("name", "token", "sentence"),
    [
        ("nobody", None, "This SuperLink answers accounts alone: ask its operator for a token"),
        ("somebody", "fedstate_wrong", "This SuperLink does not know the token"),
        ("carol", "revoked", "The token of account 'carol' was revoked"),
    ],
)
def test_who_has_no_account_is_told_what_to_do(
    users: Users, name: str, token: str | None, sentence: str
) -> None:
    if token == "revoked":
        token = add_account(users.accounts, name, Role.OPERATOR)
        revoke_account(users.accounts, name)
    code, said = users.flwr(users.home(name, token), "list")
    assert code == 1
    assert f"[code: 36] {sentence}" in said.replace("│ ", "")


def test_there_is_no_login(users: Users, alice: Path) -> None:
    code, said = users.flwr(alice, "login")
    assert code == 1
    assert "This SuperLink has no login: its operator makes a token" in said


def test_a_submitter_has_its_own_runs_alone(
    users: Users, alice: Path, operators_run: int
) -> None:
    code, said = users.flwr(alice, "run", str(COUNTING), "--format", "json")
    assert code == 0, said
    own = json.loads(said)["run-id"]
    code, said = users.flwr(alice, "list", "--format", "json")
    assert [run["run-id"] for run in json.loads(said)["runs"]] == [own]
    code, said = users.flwr(alice, "stop", str(operators_run))
    assert code == 1
    assert f"Run {operators_run} is not one of account 'alice'" in said
    code, said = users.flwr(alice, "supernode", "list")
    assert code == 1
    assert "Account 'alice' is a submitter, and 'list-nodes' is for operators" in said
    # The operator has all, and stops what is alice's.
    home = users.federation.directory / "flwr"
    code, said = users.flwr(home, "list", "--format", "json")
    assert {own, str(operators_run)} <= {run["run-id"] for run in json.loads(said)["runs"]}
    with control(users.federation.connection) as link:
        assert {int(own), operators_run} <= link.run_statuses().keys()


def test_fedstate_says_the_same(users: Users) -> None:
    environment = {**users.federation.environment, "FLWR_HOME": str(users.home("dora", None))}
    key = users.federation.nodes[0].directory / "node.pub"
    for arguments in (("enrol", key), ("verify",)):
        done = command("fedstate", *arguments, environment=environment)
        assert done.returncode in (1, 2)
        line = done.stderr.splitlines()[-1]  # flwr says before it which connection it uses
        assert line.startswith("fedstate: The SuperLink at ")
        assert "This SuperLink answers accounts alone" in line


def test_every_call_is_in_the_audit_log(users: Users) -> None:
    log = accounts.audit_log(users.federation.directory / "superlink")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(each["account"], each["outcome"]) for each in entries} >= {
        ("operator", "allowed"),
        ("alice", "allowed"),
        ("alice", "refused"),
        (None, "refused"),
    }
    assert users.federation.connection.token
    assert users.federation.connection.token not in log.read_text()
