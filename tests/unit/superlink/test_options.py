"""What the command line of our SuperLink says, and what it refuses."""

import socket
from pathlib import Path

import pytest

from fedstate.accounts.account import Role
from fedstate.accounts.changes import add_account
from fedstate.errors import FederationError, SettingError
from fedstate.flower.superlink_app import SuperLinkConfig
from fedstate.local.process import free_port
from fedstate.serving.limits import Limits
from fedstate.superlink import options
from fedstate.superlink.control_door import Door
from fedstate.superlink.listeners import Addresses


def test_a_database_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])  # which flwr reads, and `parse` sets
    (tmp_path / "text").write_text("no database " * 100)
    for database in (tmp_path, tmp_path / "missing" / "link.db", tmp_path / "text"):
        arguments = ["--insecure", "--database", str(database)]
        with pytest.raises(SettingError, match=f"The database '{database}' cannot be used"):
            options.main(arguments)


def test_the_help_says_what_is_different(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: fedstate superlink")
    assert "push notification" in text
    assert "all three options or none" in text
    for option in ("--control", "--fleet", "--runtime", "--ssl-certfile", "--keep-log"):
        assert f"{option} " in text


def test_how_much_evidence_is_kept_is_an_option_beside_flwrs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])
    given: list[tuple[SuperLinkConfig, int | None]] = []
    monkeypatch.setattr(
        options,
        "run_superlink",
        lambda config, *_, keep_log, **__: given.append((config, keep_log)),
    )
    database = ["--insecure", "--database", str(tmp_path / "link.db")]
    options.main([*database, "--keep-log", "5", "--port", "9000"])
    options.main(database)
    assert [keep for _, keep in given] == [5, None]
    assert given[0][0].port == 9000


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "many", ""])
def test_a_bound_that_is_no_number_is_refused(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options.main(["--insecure", f"--keep-log={count}"])
    assert ended.value.code == 2
    assert f"'{count}' is not a whole number of 1 or more" in capsys.readouterr().err


def test_wrong_usage_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.main(["--no-such-option"])
    assert ended.value.code == 2
    assert "fedstate superlink: error: unrecognized arguments" in capsys.readouterr().err


ALL = ("--control", "127.0.0.1:1", "--fleet=127.0.0.1:2", "--runtime", "127.0.0.1:3")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (ALL[:2], "There is no --fleet and --runtime"),
        ((*ALL, "--port", "8000"), "--host and --port are where everything is on one port"),
        ((*ALL, "--host=127.0.0.1"), "--host and --port are where everything is on one port"),
        ((*ALL, "--fleet", "nowhere"), "--fleet is 'nowhere', which is not HOST:PORT"),
        (("--runtime-socket", "no/api.sock"), "--runtime-socket is 'no/api.sock', and there is"),
    ],
)
def test_listeners_that_cannot_be_meant_are_said(
    arguments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(SettingError, match=sentence):
        options.main(["--insecure", *arguments])


@pytest.mark.parametrize("listeners", [(), ALL])
def test_flwr_is_given_its_options_and_the_server_the_listeners(
    monkeypatch: pytest.MonkeyPatch, listeners: tuple[str, ...]
) -> None:
    given: list[tuple[SuperLinkConfig, Addresses, Door, Limits]] = []
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.setattr(
        options,
        "run_superlink",
        lambda *each, limits, keep_log: given.append((*each, limits)),  # noqa: ARG005
    )
    arguments = ["--insecure", *listeners, "--max-message", "10M", "--database", "link.db"]
    options.main([*arguments, "--runtime-socket", "api.sock"])
    ((config, addresses, door, limits),) = given
    assert door.accounts is None
    assert limits.message_bytes == 10 * 2**20
    assert (config.insecure, config.database) == (True, "link.db")
    if listeners:
        apis = (["127.0.0.1:1"], ["127.0.0.1:2"], ["127.0.0.1:3"])
        assert addresses == Addresses(*apis, Path("api.sock").absolute())
    else:
        assert addresses == Addresses([], [], [], Path("api.sock").absolute())


def test_accounts_are_read_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])
    given: list[tuple[SuperLinkConfig, Addresses, Door]] = []
    monkeypatch.setattr(options, "run_superlink", lambda *each, **_: given.append(each))
    file, log = tmp_path / "accounts.toml", tmp_path / "audit.log"
    arguments = ["--insecure", "--accounts", str(file), "--audit-log", str(log)]
    with pytest.raises(SettingError, match=r"accounts in .* cannot be read"):
        options.main(arguments)
    add_account(file, "olga", Role.OPERATOR)
    options.main(arguments)
    accounts = given[0][2].accounts
    assert accounts is not None
    assert [each.name for each in accounts.all()] == ["olga"]
    assert log.exists()
    assert "reads the tokens of accounts, since there is no TLS" in caplog.text


def test_a_port_in_use_is_said_with_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--insecure", "--database", str(tmp_path / "link.db")]
        arguments += ["--control", f"127.0.0.1:{free_port()}", "--fleet", address]
        arguments += ["--runtime", f"127.0.0.1:{free_port()}"]
        problem = f"The Fleet API cannot be served on {address} .Address already in use.*--fleet"
        with pytest.raises(FederationError, match=problem):
            options.main(arguments)
