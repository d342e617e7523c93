"""Tables as files that pandas, and whoever else, reads with the same numbers."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fedstate.inspection import InspectionError, Table
from fedstate.inspection.export.formats import Format
from fedstate.inspection.export.tables import write_table
from tests.unit.optional import optional

COLUMNS = ("run", "round", "value", "name")
ROWS: list[dict[str, Any]] = [
    {"run": str(2**64 - 1), "round": 1, "value": 1 / 3, "name": 'a "b", c\nd'},
    {"run": "7", "round": None, "value": float("nan"), "name": "loss"},
]
TABLE = Table(COLUMNS, ROWS)


def test_csv(tmp_path: Path) -> None:
    write_table(TABLE, Format.CSV, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert read == [
        {"run": str(2**64 - 1), "round": "1", "value": repr(1 / 3), "name": 'a "b", c\nd'},
        {"run": "7", "round": "", "value": "nan", "name": "loss"},
    ]


def test_json(tmp_path: Path) -> None:
    write_table(TABLE, Format.JSON, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == [
        ROWS[0],
        {"run": "7", "round": None, "value": "NaN", "name": "loss"},
    ]


def test_parquet(tmp_path: Path) -> None:
    parquet = optional("pyarrow.parquet")
    write_table(TABLE, Format.PARQUET, tmp_path / "a.parquet")
    read = parquet.read_table(tmp_path / "a.parquet")
    assert read.column_names == list(COLUMNS)
    assert read["run"].to_pylist() == [row["run"] for row in ROWS]
    assert read["round"].to_pylist() == [1, None]
    assert read["value"].to_pylist()[0] == 1 / 3
    write_table(Table(COLUMNS, []), Format.PARQUET, tmp_path / "empty.parquet")
    empty = parquet.read_table(tmp_path / "empty.parquet")
    assert [str(each) for each in empty.schema.types] == ["string", "int64", "double", "string"]


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InspectionError, match=r"pip install 'fedstate\[export\]'"):
        write_table(TABLE, Format.PARQUET, tmp_path / "a.parquet")


def test_a_format_of_arrays_is_none_of_tables(tmp_path: Path) -> None:
    with pytest.raises(InspectionError, match="A table cannot be written as npz; give csv"):
        write_table(TABLE, Format.NPZ, tmp_path / "a.npz")
