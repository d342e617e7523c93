"""Tables as CSV, Parquet and JSON."""

import csv
import json
from pathlib import Path
from typing import Any

from fedstate.inspection.errors import InspectionError
from fedstate.inspection.export.as_json import to_plain
from fedstate.inspection.export.formats import Format
from fedstate.inspection.tables import Table


def write_table(table: Table, form: Format, file: Path) -> None:
    """Write a table; what a row does not have is empty.

    Raises
    ------
    InspectionError
        The format is none of a table, or its library is not installed.
    """
    if form is Format.CSV:
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(table.columns)
            writer.writerows(row.values() for row in table)
    elif form is Format.JSON:
        with file.open("w", encoding="utf-8") as out:
            json.dump([to_plain(row) for row in table], out, allow_nan=False)
            out.write("\n")
    elif form is Format.PARQUET:
        _write_parquet(table, file)
    else:
        raise InspectionError(f"A table cannot be written as {form}; give csv, parquet or json.")


def _write_parquet(table: Table, file: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise InspectionError(
            "Parquet needs pyarrow; install it with: pip install 'fedstate[export]', or export "
            "the table as CSV."
        ) from None
    types = {"round": pa.int64(), "entry": pa.int64(), "partition": pa.int64()}
    types |= {"value": pa.float64()}
    columns: dict[str, Any] = {
        name: pa.array(table.column(name), types.get(name, pa.string())) for name in table.columns
    }
    with file.open("wb") as out:
        parquet.write_table(pa.table(columns), out)
