"""The accounts of a running SuperLink follow their file."""

import hmac
import logging
from pathlib import Path

import pytest

from fedstate.accounts import accounts as module
from fedstate.accounts.account import Role, read_accounts, write_accounts
from fedstate.accounts.accounts import Accounts
from fedstate.accounts.changes import add_account, revoke_account
from fedstate.accounts.errors import AccountsError, Refusal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.toml"


@pytest.fixture
def token(file: Path) -> str:
    return add_account(file, "olga", Role.OPERATOR)


@pytest.fixture
def accounts(file: Path, token: str) -> Accounts:
    return Accounts(file)


def headers(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


def test_an_account_is_known_by_its_token(accounts: Accounts, token: str) -> None:
    assert accounts.authenticate(headers(token)).name == "olga"
    assert accounts.accepts(headers(token))
    for wrong in (token[:-1], token + "x", token.upper(), "x", "é"):
        assert not accounts.accepts(headers(wrong))
    assert not accounts.accepts([])


def test_a_change_is_seen_without_a_restart(accounts: Accounts, file: Path, token: str) -> None:
    alice = add_account(file, "alice", Role.SUBMITTER)
    assert accounts.account_of(alice).role is Role.SUBMITTER
    revoke_account(file, "alice")
    with pytest.raises(Refusal, match="'alice' was revoked"):
        accounts.account_of(alice)
    assert {each.name for each in accounts.all()} == {"olga", "alice"}
    again = add_account(file, "alice", Role.SUBMITTER)
    assert accounts.account_of(again).name == "alice"
    with pytest.raises(Refusal, match="does not know the token"):
        accounts.account_of(alice)
    assert accounts.account_of(token).name == "olga"


def test_what_has_not_changed_is_not_read_again(
    accounts: Accounts, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_accounts", None)
    assert accounts.account_of(token).name == "olga"


def test_while_the_file_cannot_be_read_nobody_has_access(
    accounts: Accounts, file: Path, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = read_accounts(file)[1]
    for spoil in (
        lambda: file.write_text("no accounts"),
        lambda: file.chmod(0o666),
        file.unlink,
    ):
        write_accounts(file, known)
        assert accounts.account_of(token)
        spoil()
        caplog.clear()
        for _ in range(3):
            with pytest.raises(Refusal, match="cannot read its accounts") as raised:
                accounts.account_of(token)
            assert raised.value.status == 503
            assert str(file) not in str(raised.value)
        errors = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert len(errors) == 1, "it is said once"
    write_accounts(file, known)
    assert accounts.account_of(token).name == "olga"


def test_a_superlink_does_not_start_without_its_accounts(file: Path) -> None:
    with pytest.raises(AccountsError, match="cannot be read"):
        Accounts(file)


def test_all_accounts_are_compared_in_constant_time(
    accounts: Accounts, file: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        add_account(file, name, Role.SUBMITTER)
    compared = []
    theirs = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return theirs(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    accounts.account_of(token)
    assert len(compared) == 3
