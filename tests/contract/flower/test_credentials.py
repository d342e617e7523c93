"""The token that we store is the one that flwr's command line sends."""

from pathlib import Path

import pytest
from flwr.cli.auth_plugin import oidc_cli_plugin
from flwr.cli.auth_plugin.oidc_cli_plugin import OidcCliPlugin
from flwr.cli.utils import load_cli_auth_plugin_from_connection
from flwr.common.constant import ACCESS_TOKEN_KEY
from flwr.supercore.credential_store.file_credential_store import FileCredentialStore

from fedstate.accounts.credentials import store_token, stored_token


def test_flwrs_command_line_finds_a_token_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store_token(tmp_path, "here:1", "fedstate_token")
    store = FileCredentialStore(file)
    monkeypatch.setattr("flwr.cli.utils.get_credential_store", lambda: store)
    monkeypatch.setattr(oidc_cli_plugin, "get_credential_store", lambda: store)
    plugin = load_cli_auth_plugin_from_connection("here:1")
    assert isinstance(plugin, OidcCliPlugin)
    plugin.load_tokens()
    assert (ACCESS_TOKEN_KEY, "fedstate_token") in plugin.write_tokens_to_metadata([])


def test_we_read_what_flwr_stores(tmp_path: Path) -> None:
    store = FileCredentialStore(tmp_path / "credentials.yaml")
    store.set(oidc_cli_plugin.ACCESS_TOKEN_STORE_KEY % "here:1", b"theirs")
    assert stored_token(tmp_path, "here:1") == "theirs"
