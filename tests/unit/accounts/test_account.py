"""The file of accounts: what was written is read, and what is damaged opens nothing."""

import datetime
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.accounts.account import (
    Account,
    Role,
    Stamp,
    check_name,
    read_accounts,
    write_accounts,
)
from fedstate.accounts.errors import AccountsError
from fedstate.errors import SettingError

TIME = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
OLGA = Account("olga", Role.OPERATOR, "a" * 64, TIME)
ALICE = Account("alice", Role.SUBMITTER, "b" * 64, TIME, revoked=TIME)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "accounts.toml"
    write_accounts(file, {each.name: each for each in (OLGA, ALICE)})
    return file


def test_what_was_written_is_read(file: Path) -> None:
    stamp, accounts = read_accounts(file)
    assert accounts == {"olga": OLGA, "alice": ALICE}
    assert stamp == Stamp.of(file.stat())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a", "Alice.B-c_9", "x" * 63])
def test_a_name_can_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "x" * 64, "a\n", "a>"])
def test_a_name_cannot_be(name: str) -> None:
    with pytest.raises(SettingError, match="cannot be called"):
        check_name(name)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(AccountsError, match=r"make themselves operators.*chmod 600"):
        read_accounts(file)


def test_a_missing_file_is_said_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match=r"No such file.*fedstate account add"):
        read_accounts(tmp_path / "none")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("version = 1", "version = 2", "its version is 2"),
        ("version = 1", "", "its version is None"),
        ("version = 1", "version = 1\nmore = 1", "it is not 'version' and a table"),
        ("[accounts.olga]", "[accounts.'o l']", "'o l' is no name"),
        ('role = "operator"', 'role = "admin"', "has the role 'admin'"),
        ('role = "operator"', "role = 1", "has the role 1"),
        ('role = "operator"', "", "does not have what an account has"),
        ('role = "operator"', 'role = "operator"\nx = 1', "does not have what an account has"),
        ("a" * 64, "a" * 63, "no SHA-256"),
        ("a" * 64, "b" * 64, "two accounts have the same token"),
        ("created = 2026-01-02", "created = 3\nx = 2026-01-02", "does not have what"),
        ("revoked = 2026-01-02", "revoked = false # 2026-01-02", "False for a time"),
        ("[accounts.alice]", "[accounts.olga]", "twice"),
        ("[accounts.alice]", "[accounts.alice", r"at line 9"),
    ],
)
def test_damage_is_said_in_one_sentence(file: Path, old: str, new: str, reason: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(AccountsError, match=reason) as raised:
        read_accounts(file)
    assert str(raised.value).startswith(f"The accounts in '{file}' are damaged (")
    assert "\n" not in str(raised.value)


@given(content=st.binary(max_size=200))
def test_no_content_is_taken_for_accounts(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "any-accounts.toml"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(AccountsError):
        read_accounts(file)
