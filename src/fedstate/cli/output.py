"""How commands show what they have found: ``--format``, and tables that a pipe does not cut."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedstate.cli.human import human_size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Wider than any line of ours.
_NO_WINDOW = 10_000
# What is counted in bytes is called ``size_bytes``, where it is the size of what the row or the
# result is about, and otherwise ``state_bytes``, ``new_bytes``, ``store_bytes`` and the like.
_BYTES = "_bytes"


class Format(StrEnum):
    """How a command shows its result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Shown = Annotated[
    Format, typer.Option("--format", help="A table for people, or JSON or CSV for programs.")
]


def _text(value: object) -> str:
    lines = value if isinstance(value, list) else [value]
    return "\n".join("" if line is None else str(line) for line in lines)


@dataclass(frozen=True)
class Column:
    """A column of a table for people.

    Attributes
    ----------
    name : str
        What rows, JSON and CSV call it.
    heading : str
        What the table calls it; its name, if it is empty.
    text : callable
        How the table shows a value, such as `human_size`; JSON and CSV have the value itself.
    right : bool
        Whether it is a column of numbers.
    """

    name: str
    heading: str = ""
    text: Callable[[Any], str] = _text
    right: bool = False


def console(*, stderr: bool = False) -> Console:
    """Return a console that cuts and wraps nothing without a window: in a pipe or a file."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = _NO_WINDOW
    return made


def warn(sentence: str) -> None:
    """Say something that is not part of a command's result."""
    typer.secho(f"fedstate: {sentence}", fg=typer.colors.YELLOW, err=True)


def show_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str | Column],
    shown: Format = Format.TABLE,
) -> None:
    """Print rows that have the same columns.

    Parameters
    ----------
    rows : iterable of mapping
        The rows; JSON shows all that is in them, the other formats the columns.
    columns : sequence of str or Column
        The columns, in their order.
    shown : Format
        How.
    """
    if shown is Format.JSON:
        typer.echo(json.dumps(list(rows)))
        return
    known = [Column(each) if isinstance(each, str) else each for each in columns]
    if shown is Format.CSV:
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([column.name for column in known])
        writer.writerows([_text(row[column.name]) for column in known] for row in rows)
        typer.echo(written.getvalue(), nl=False)
        return
    table = Table()
    for column in known:
        table.add_column(
            column.heading or column.name, justify="right" if column.right else "left"
        )
    for row in rows:
        # As text: brackets in it are no markup.
        table.add_row(*(Text(column.text(row[column.name])) for column in known))
    console().print(table)


def described(result: "DataclassInstance") -> dict[str, Any]:
    """Return the attributes of a result by the names that commands have for them."""
    return {
        "size_bytes" if name == "size" else name: each for name, each in asdict(result).items()
    }


def show_result(
    result: Mapping[str, Any],
    shown: Format = Format.TABLE,
    human: Mapping[str, Callable[[Any], str]] | None = None,
) -> None:
    """Print one result: its names beside its values, or one row.

    Parameters
    ----------
    result : mapping of str to object
        The result.
    shown : Format
        How.
    human : mapping of str to callable, optional
        How a table shows some of the values, such as ``{"time": human_time}``; sizes need none.
    """
    if shown is Format.JSON:
        typer.echo(json.dumps(result))
        return
    if shown is Format.CSV:
        show_rows([result], list(result), shown)
        return
    table = Table(show_header=False)
    for name, value in result.items():
        text = (human or {}).get(name, human_size if name.endswith(_BYTES) else _text)
        table.add_row(name, Text(text(value) or "none"))
    console().print(table)
