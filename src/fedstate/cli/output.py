"""How commands show what they have found: ``--format``, and tables that a pipe does not cut."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

# Wider than any line of ours.
_NO_WINDOW = 10_000


class Format(StrEnum):
    """How a command shows its result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Shown = Annotated[
    Format, typer.Option("--format", help="A table for people, or JSON or CSV for programs.")
]


def console(*, stderr: bool = False) -> Console:
    """Return a console that cuts and wraps nothing without a window: in a pipe or a file."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = _NO_WINDOW
    return made


def show_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], shown: Format = Format.TABLE
) -> None:
    """Print rows that have the same columns.

    Parameters
    ----------
    rows : iterable of mapping
        The rows; JSON shows all that is in them, the other formats the columns.
    columns : sequence of str
        The columns, in their order.
    shown : Format
        How.
    """
    if shown is Format.JSON:
        typer.echo(json.dumps(list(rows)))
        return
    cells = ([_text(row[column]) for column in columns] for row in rows)
    if shown is Format.CSV:
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(cells)
        typer.echo(written.getvalue(), nl=False)
        return
    table = Table(*columns)
    for each in cells:
        table.add_row(*each)
    console().print(table)


def show_result(result: Mapping[str, Any], shown: Format = Format.TABLE) -> None:
    """Print one result: its names beside its values, or one row."""
    if shown is Format.JSON:
        typer.echo(json.dumps(result))
        return
    if shown is Format.CSV:
        show_rows([result], list(result), shown)
        return
    table = Table(show_header=False)
    for name, value in result.items():
        table.add_row(name, _text(value) or "none")
    console().print(table)


def _text(value: object) -> str:
    lines = value if isinstance(value, list) else [value]
    return "\n".join("" if line is None else str(line) for line in lines)
