"""What is printed into a pipe is as wide as it is; a window has its own width."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from rich.table import Table
from tests.unit.cli.test_examples import COMMANDS

from fedstate.cli import output
from fedstate.cli.human import human_seconds, human_size
from fedstate.cli.output import Column, Format, console, show_result, show_rows


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


ROWS: list[dict[str, Any]] = [
    {"name": "a [red]b[/red]", "size": 1_500_000, "more": 1},
    {"name": "c,d", "size": None, "more": 2},
]
COLUMNS = (Column("name"), Column("size", "Size", human_size, right=True))


def shown(form: Format, capsys: pytest.CaptureFixture[str]) -> str:
    show_rows(ROWS, COLUMNS, form)
    return capsys.readouterr().out


def test_people_see_human_sizes_and_programs_exact_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = shown(Format.TABLE, capsys)
    assert "1.5 MB" in table
    assert "Size" in table
    assert "1500000" not in table
    assert json.loads(shown(Format.JSON, capsys)) == ROWS
    written = shown(Format.CSV, capsys)
    assert list(csv.reader(io.StringIO(written))) == [
        ["name", "size"],
        ["a [red]b[/red]", "1500000"],
        ["c,d", ""],
    ]


def test_what_looks_like_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert "a [red]b[/red]" in shown(Format.TABLE, capsys)
    show_result({"reason": "[/nothing] was open"}, Format.TABLE)
    assert "[/nothing] was open" in capsys.readouterr().out


@pytest.mark.parametrize("form", list(Format))
def test_one_result_is_shown_in_each_form(
    form: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"size_bytes": 2000, "freed_bytes": 3_000_000, "took": 1.0, "problems": []}
    show_result(result, form, {"took": human_seconds})
    expected = {
        Format.TABLE: ["2 kB", "3 MB", "1 s", "none"],
        Format.JSON: [
            '{"size_bytes": 2000, "freed_bytes": 3000000, "took": 1.0, "problems": []}'
        ],
        Format.CSV: ["size_bytes,freed_bytes,took,problems\n2000,3000000,1.0,\n"],
    }
    printed = capsys.readouterr().out
    assert all(text in printed for text in expected[form])


def test_every_table_of_the_command_line_comes_as_json_and_csv_too() -> None:
    """What prints a table does it here, but for the report of a verification."""
    sources = Path(output.__file__).parents[1]
    importing = {
        str(file.relative_to(sources))
        for file in sources.rglob("*.py")
        if "from rich.table import" in file.read_text()
    }
    assert importing == {"cli/output.py", "verify/table.py"}
    forms = [
        list(parameter.type.choices)
        for command in COMMANDS.values()
        for parameter in command.params
        if parameter.name in ("shown", "form") and isinstance(parameter.type, click.Choice)
    ]
    tables = [form for form in forms if "table" in form]
    assert len(tables) > 10
    assert all(form == ["table", "json", "csv"] for form in tables)
