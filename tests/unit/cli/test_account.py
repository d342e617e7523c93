"""`fedstate account`, and where a token goes."""

import json
import stat
from pathlib import Path

import pytest
from tests.commands import fedstate

from fedstate.accounts.accounts import Accounts
from fedstate.accounts.changes import read_token
from fedstate.accounts.credentials import stored_token


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FEDSTATE_ACCOUNTS", str(tmp_path / "accounts.toml"))
    return tmp_path / "home"


@pytest.fixture
def file(home: Path, tmp_path: Path) -> Path:
    return tmp_path / "accounts.toml"


def said(*arguments: str | Path) -> str:
    done = fedstate(*arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def refusal(*arguments: str | Path) -> str:
    done = fedstate(*arguments)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    return line


def connect(tmp_path: Path, *options: str | Path) -> None:
    certificates = tmp_path / "ca.crt"
    said("connection", "here", "--address", "a:1", "--root-certificates", certificates, *options)


def test_a_token_goes_into_a_file_and_from_there_to_flwr(
    file: Path, home: Path, tmp_path: Path
) -> None:
    output = tmp_path / "token"
    said("account", "add", "alice", "--role", "submitter", "--output", output)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    token = read_token(output)
    assert Accounts(file).account_of(token).name == "alice"
    connect(tmp_path, "--token-file", output)
    assert stored_token(home, "a:1") == token


def test_a_token_goes_to_standard_output_alone(file: Path) -> None:
    token = said("account", "add", "alice", "--role", "submitter", "--output", "-")
    assert Accounts(file).account_of(token.strip()).name == "alice"


def test_a_token_of_ones_own_goes_where_flwr_finds_it(
    file: Path, home: Path, tmp_path: Path
) -> None:
    connect(tmp_path)
    assert "use it for connection 'here'" in said("account", "add", "olga", "--role", "operator")
    token = stored_token(home, "a:1")
    assert token is not None
    assert Accounts(file).account_of(token).name == "olga"
    line = refusal("account", "add", "alice", "--role", "submitter")
    assert "which would be lost; give --output FILE" in line
    assert stored_token(home, "a:1") == token
    assert [each.name for each in Accounts(file).all()] == ["olga"]


def test_without_a_connection_no_account_is_made(file: Path) -> None:
    assert "config.toml is missing" in refusal("account", "add", "olga", "--role", "operator")
    assert not file.exists()


def test_an_account_is_kept_if_its_token_is_there(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "token"
    add = ("account", "add", "olga", "--role", "operator", "--output", output, "--if-missing")
    said(*add)
    token = read_token(output)
    said(*add)
    assert read_token(output) == token
    assert "is there already" in refusal(*add[:-1])


def test_a_token_that_cannot_be_kept_makes_no_account(file: Path, tmp_path: Path) -> None:
    said("account", "add", "olga", "--role", "operator", "--output", tmp_path / "one")
    output = tmp_path / "two"
    again = refusal("account", "add", "olga", "--role", "operator", "--output", output)
    assert "There is an account 'olga'" in again
    assert not output.exists()
    (tmp_path / "file").touch()
    beneath = tmp_path / "file" / "token"
    assert refusal("account", "add", "bob", "--role", "operator", "--output", beneath)
    assert [each.name for each in Accounts(file).all()] == ["olga"]


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("output", [[], ["--output", "-"]])
def test_if_missing_needs_a_file(output: list[str]) -> None:
    line = refusal("account", "add", "olga", "--role", "operator", "--if-missing", *output)
    assert "--if-missing needs" in line


def test_accounts_are_listed_and_revoked(file: Path, tmp_path: Path) -> None:
    for name, role in (("olga", "operator"), ("alice", "submitter")):
        said("account", "add", name, "--role", role, "--output", tmp_path / name)
    assert said("account", "revoke", "alice") == "Account 'alice' is revoked.\n"
    assert said("account", "revoke", "alice") == "Account 'alice' was already revoked.\n"
    listed = json.loads(said("account", "list", "--format", "json"))["accounts"]
    assert [(each["name"], each["role"], bool(each["revoked"])) for each in listed] == [
        ("olga", "operator", False),
        ("alice", "submitter", True),
    ]
    table = said("account", "list")
    assert "alice" in table
    assert read_token(tmp_path / "olga") not in table
    assert "no account 'bob'" in refusal("account", "revoke", "bob")


@pytest.mark.usefixtures("file")
def test_a_role_that_is_none_is_refused() -> None:
    done = fedstate("account", "add", "olga", "--role", "admin", "--output", "-")
    assert done.exit_code == 2
