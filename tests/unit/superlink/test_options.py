"""What the command line of our SuperLink says, and what it refuses."""

from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.flower.superlink_app import SuperLinkConfig
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
    assert "--keep-log MESSAGES" in text


def test_how_much_evidence_is_kept_is_an_option_beside_flwrs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])
    given: list[tuple[SuperLinkConfig, int | None]] = []
    monkeypatch.setattr(options, "run_superlink", lambda *each: given.append(each))
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
