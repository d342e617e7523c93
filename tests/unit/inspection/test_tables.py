"""Rows with columns, and the sentence that says how to have a DataFrame of them."""

import sys

import pytest

from fedstate.inspection import InspectionError, Table

TABLE = Table(("name", "round"), [{"name": "loss", "round": 1}, {"name": "loss"}])


def test_what_a_row_does_not_have_is_none() -> None:
    assert list(TABLE) == [{"name": "loss", "round": 1}, {"name": "loss", "round": None}]
    assert TABLE.column("round") == [1, None]
    assert TABLE[0]["round"] == len(TABLE) - 1
    assert repr(TABLE) == "Table(name, round; 2 rows)"


def test_as_a_frame() -> None:
    pd = pytest.importorskip("pandas")
    assert list(TABLE.frame().columns) == ["name", "round"]
    empty = Table(("name", "round"), []).frame()
    assert isinstance(empty, pd.DataFrame)
    assert list(empty.columns) == ["name", "round"]


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InspectionError, match=r"pip install 'fedstate\[frames\]'"):
        TABLE.frame()
