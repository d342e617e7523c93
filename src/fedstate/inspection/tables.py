"""Rows of plain values, and the DataFrame of them where pandas is installed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedstate.inspection.errors import InspectionError


class Table(Sequence[dict[str, Any]]):
    """Rows with the same columns.

    Parameters
    ----------
    columns : sequence of str
        The columns, in their order.
    rows : sequence of mapping
        The rows; what a row does not have is None.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.columns = list(columns)
        self._rows = [{column: row.get(column) for column in columns} for row in rows]

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """Return a row, or those of a slice."""
        return self._rows[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows."""
        return iter(self._rows)

    def __repr__(self) -> str:
        """Return the columns and how many rows there are."""
        return f"Table({', '.join(self.columns)}; {len(self)} rows)"

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return [row[name] for row in self._rows]

    def frame(self) -> Any:
        """Return a ``pandas.DataFrame``.

        Raises
        ------
        InspectionError
            pandas is not installed.
        """
        return import_pandas().DataFrame(self._rows, columns=self.columns)


def import_pandas() -> Any:
    """Return pandas.

    Raises
    ------
    InspectionError
        It is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise InspectionError(
            "A DataFrame needs pandas; install it with: pip install 'fedstate[frames]'."
        ) from None
    return pd
