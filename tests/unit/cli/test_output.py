"""What is printed into a pipe is as wide as it is; a window has its own width."""

import pytest
from rich.table import Table

from fedstate.cli.output import console


@pytest.mark.parametrize("stderr", [False, True])
def test_a_table_in_a_pipe_is_whole(
    stderr: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("a", "b", show_header=False)
    table.add_row("x" * 60, "y " * 60)
    console(stderr=stderr).print(table)
    printed = capsys.readouterr()
    text = printed.err if stderr else printed.out
    assert "x" * 60 in text
    assert ("y " * 60).strip() in text
    assert max(map(len, text.splitlines())) < 250


def test_a_window_keeps_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console().width == 40
