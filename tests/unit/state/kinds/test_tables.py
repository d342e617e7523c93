"""The frames, series, indexes and single values of pandas come back."""

import datetime
import zoneinfo
from typing import Any

import numpy as np
import pytest

from tests.unit.state.steps import digest_of, stored_and_read


def make_frame() -> Any:
    pd = pytest.importorskip("pandas")
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    moments = pd.to_datetime(["2026-01-01", "2026-07-01", None])
    return pd.DataFrame(
        {
            "int": [1, 2, 3],
            "float": [0.5, np.nan, -0.0],
            "more": [1, 1, 2],
            "bool": [True, False, True],
            "text": ["a", None, "größer"],
            "object": pd.Series([1, "a", None], dtype=object),
            "category": pd.Categorical(["x", None, "y"], ["y", "x"], ordered=True),
            "Int64": pd.array([1, None, 3], dtype="Int64"),
            "Float32": pd.array([0.5, None, 3], dtype="Float32"),
            "boolean": pd.array([True, None, False], dtype="boolean"),
            "string": pd.array(["a", None, "b"], dtype=pd.StringDtype("python")),
            "moment": moments,
            "zoned": moments.tz_localize(zone),
            "delta": pd.to_timedelta([1, 2, None], unit="h"),
            "period": pd.PeriodIndex(["2026-01", "2026-02", None], freq="M"),
            "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3], closed="left"),
            "sparse": pd.arrays.SparseArray([0, 0, 1]),
            5: [np.int8(1), np.int8(2), np.int8(3)],
        },
        index=pd.Index(["r", "s", "t"], name="row"),
    )


def test_frames_and_their_columns_come_back_as_they_were() -> None:
    frame = make_frame()
    pd = pytest.importorskip("pandas")
    frame.attrs = {"source": "test"}
    (back,) = stored_and_read([frame])
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=True)
    assert back.attrs == frame.attrs
    assert digest_of(back) == digest_of(frame)
    for name in frame:
        series = frame[name]
        read = stored_and_read(series)
        pd.testing.assert_series_equal(read, series, check_exact=True)
        assert type(read.array) is type(series.array)
        assert digest_of(read) == digest_of(series)
    back["new"] = 1  # it can be changed
    assert back.loc["s", "int"] == 2


def test_indexes_and_single_values_of_pandas_come_back() -> None:
    pd = pytest.importorskip("pandas")
    zone = datetime.timezone(datetime.timedelta(hours=2))
    indexes = [
        pd.RangeIndex(1, 9, 2, name="r"),
        pd.Index([1.5, 2], name=("a", 1)),
        pd.Index(["a", None], dtype=object),
        pd.Index(["a", "b"]),
        pd.Index(["x", "y"], dtype="category"),
        pd.date_range("2026-01-01", periods=3, freq="D", tz="Europe/Berlin"),
        pd.date_range("2026-01-01", periods=3, freq="ME"),
        pd.timedelta_range("1h", periods=3, freq="h"),
        pd.period_range("2026-01", periods=3, freq="M"),
        pd.interval_range(0, 3),
        pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", None]),
    ]
    for index in indexes:
        back = stored_and_read({"i": index})["i"]
        pd.testing.assert_index_equal(back, index, exact=True)
        assert getattr(back, "freq", None) == getattr(index, "freq", None)
        assert digest_of(back) == digest_of(index)
    values = [
        pd.Timestamp("2026-01-01 10:00:00.123456789"),
        pd.Timestamp("2026-01-01", tz=zone),
        pd.Timedelta("1h 5ns"),
        pd.NaT,
        pd.NA,
    ]
    for value, back in zip(values, stored_and_read(values), strict=True):
        assert type(back) is type(value)
        assert repr(back) == repr(value)
