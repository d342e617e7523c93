"""Flower's credentials: tokens are where it looks, and nothing of others is lost."""

import stat
from pathlib import Path

import pytest
import yaml

from fedstate.accounts.credentials import FILE_NAME, store_token, stored_token
from fedstate.errors import SettingError


def test_a_token_is_stored_for_its_address_alone(tmp_path: Path) -> None:
    home = tmp_path / "flwr"
    assert stored_token(home, "a:1") is None
    file = store_token(home, "a:1", "first")
    store_token(home, "b:2", "second")
    store_token(home, "a:1", "third")
    assert stored_token(home, "a:1") == "third"
    assert stored_token(home, "b:2") == "second"
    assert stored_token(home, "a:11") is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_else_is_in_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("flower.account-auth.c:3.authn-type: b2lkYw==\n")
    store_token(tmp_path, "a:1", "token")
    content = yaml.safe_load((tmp_path / FILE_NAME).read_text())
    assert content["flower.account-auth.c:3.authn-type"] == "b2lkYw=="


@pytest.mark.parametrize("content", ["[", "- a", "a: 1", "1: b", "word", "\udcff"])
def test_a_damaged_file_is_said_and_kept(tmp_path: Path, content: str) -> None:
    file = tmp_path / FILE_NAME
    file.write_text(content, errors="surrogateescape")
    before = file.read_bytes()
    for use in (lambda: stored_token(tmp_path, "a:1"), lambda: store_token(tmp_path, "a:1", "x")):
        with pytest.raises(SettingError, match=r"credentials in .* are damaged"):
            use()
    assert file.read_bytes() == before


def test_a_token_that_is_not_base64_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("flower.account-auth.a:1.oidc-access-token: '!'\n")
    with pytest.raises(SettingError, match="the token for a:1 is not base64"):
        stored_token(tmp_path, "a:1")


def test_an_empty_file_has_no_token(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("")
    assert stored_token(tmp_path, "a:1") is None
