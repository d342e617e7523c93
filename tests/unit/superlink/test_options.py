"""What the command line of our SuperLink says, and what it refuses."""

from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.superlink import options


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


def test_wrong_usage_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.main(["--no-such-option"])
    assert ended.value.code == 2
    assert "fedstate superlink: error: unrecognized arguments" in capsys.readouterr().err
