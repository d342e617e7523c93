"""What `fedstate account` does to the file of accounts."""

import stat
import threading
from pathlib import Path

import pytest

from fedstate.accounts.account import Role, read_accounts
from fedstate.accounts.changes import (
    add_account,
    ensure_account,
    read_token,
    revoke_account,
    write_token,
)
from fedstate.accounts.errors import AccountsError
from fedstate.accounts.tokens import digest_of
from fedstate.errors import SettingError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "superlink" / "accounts.toml"


def test_an_account_is_added_once_and_its_token_is_not_kept(file: Path) -> None:
    token = add_account(file, "olga", Role.OPERATOR)
    (account,) = read_accounts(file)[1].values()
    assert (account.role, account.digest) == (Role.OPERATOR, digest_of(token))
    assert token not in file.read_text()
    with pytest.raises(SettingError, match="There is an account 'olga'"):
        add_account(file, "olga", Role.SUBMITTER)
    assert read_accounts(file)[1] == {"olga": account}


def test_a_revoked_account_gets_a_new_token(file: Path) -> None:
    first = add_account(file, "alice", Role.SUBMITTER)
    assert revoke_account(file, "alice") is True
    assert revoke_account(file, "alice") is False
    second = add_account(file, "alice", Role.SUBMITTER)
    assert first != second
    (account,) = read_accounts(file)[1].values()
    assert (account.digest, account.revoked) == (digest_of(second), None)


def test_a_name_that_is_not_there_is_said_with_those_that_are(file: Path) -> None:
    add_account(file, "olga", Role.OPERATOR)
    with pytest.raises(SettingError, match=r"no account 'bob' .*; it has: olga\."):
        revoke_account(file, "bob")
    with pytest.raises(AccountsError, match="cannot be read"):
        revoke_account(file.with_name("none"), "bob")
    assert not file.with_name("none").exists()


def test_a_damaged_file_is_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text("damaged")
    with pytest.raises(AccountsError, match="damaged"):
        add_account(file, "olga", Role.OPERATOR)
    assert file.read_text() == "damaged"


def test_an_account_is_ensured_with_its_token(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "token"
    token = ensure_account(file, "olga", Role.OPERATOR, kept)
    assert kept.read_text() == f"{token}\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ensure_account(file, "olga", Role.OPERATOR, kept) == token
    for spoil in (
        kept.unlink,
        lambda: kept.write_text("another"),
        file.unlink,
        lambda: revoke_account(file, "olga"),
    ):
        spoil()
        made = ensure_account(file, "olga", Role.OPERATOR, kept)
        assert made != token
        token = made
        assert read_token(kept) == token
        (account,) = read_accounts(file)[1].values()
        assert (account.digest, account.revoked) == (digest_of(token), None)


def test_two_that_add_at_once_lose_nothing(file: Path) -> None:
    names = [f"account-{number}" for number in range(8)]
    threads = [
        threading.Thread(target=add_account, args=(file, name, Role.SUBMITTER)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_accounts(file)[1]) == names


@pytest.mark.parametrize("content", ["", "\n", "two words", "two\nlines", "ü"])
def test_a_file_without_a_token_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(SettingError, match="holds no token"):
        read_token(tmp_path / "token")


def test_a_missing_token_is_said_and_a_written_one_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="is missing; an operator makes it"):
        read_token(tmp_path / "token")
    write_token(tmp_path / "token", "abc")
    assert read_token(tmp_path / "token") == "abc"
