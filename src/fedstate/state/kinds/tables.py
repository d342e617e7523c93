"""The frames, series and indexes of pandas, column by column, each dtype by its parts."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, only

_INDEXES = ("Index", "DatetimeIndex", "TimedeltaIndex", "PeriodIndex", "IntervalIndex")
_MASKED = {"IntegerArray", "FloatingArray", "BooleanArray"}


def _of(*names: str) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        pandas = sys.modules.get("pandas")
        return any(type(value) is getattr(pandas, name, None) for name in names)

    return accepts


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise StateTypeError("it holds a table of pandas; install pandas to read it") from None


def _array_node(value: Any, branch: Branch) -> list[Any]:
    """Return a column, or an index, by its dtype: NumPy's array, or the parts of an extension."""
    array = value.array
    name = type(array).__name__
    if isinstance(value.dtype, np.dtype):
        return ["numpy", branch.node(np.asarray(value.to_numpy()))]
    if name == "DatetimeArray":
        plain = array.tz_convert("UTC").tz_localize(None).to_numpy()
        return ["tz", branch.node(value.dtype.tz), branch.node(plain)]
    if name == "Categorical":
        categories = branch.child("categories").node(array.categories)
        return ["categorical", bool(array.ordered), categories, branch.node(array.codes.copy())]
    if name in _MASKED:
        mask = array.isna()
        fill = False if name == "BooleanArray" else 0
        values = array.to_numpy(value.dtype.numpy_dtype, na_value=fill)
        parts = (branch.child("values").node(values), branch.child("mask").node(mask))
        return ["masked", name, *parts]
    if name in ("StringArray", "ArrowStringArray") and value.dtype.name in ("string", "str"):
        items = array.to_numpy(object, na_value=None).tolist()
        is_nan = value.dtype.na_value is not sys.modules["pandas"].NA
        return ["text", value.dtype.storage, is_nan, branch.node(items)]
    if name == "PeriodArray":
        return ["period", value.dtype.name, branch.node(array.asi8)]
    if name == "IntervalArray":
        sides = (branch.child(side).node(getattr(array, side)) for side in ("left", "right"))
        return ["interval", array.closed, *sides]
    if name == "SparseArray":
        fill = branch.child("fill").node(array.fill_value)
        return ["sparse", array.kind, fill, branch.node(np.asarray(array))]
    raise StateTypeError(
        f"{branch.shown} has the dtype {value.dtype}, which cannot be stored; convert it with "
        'convert_dtypes(dtype_backend="numpy_nullable") or astype'
    )


def _read_array(content: Any, reader: Reader) -> Any:
    pandas = _pandas()
    form, *rest = content
    if form == "numpy":
        return reader.value(rest[0])
    if form == "tz":
        moments = pandas.DatetimeIndex(reader.value(rest[1])).tz_localize("UTC")
        return moments.tz_convert(reader.value(rest[0])).array
    if form == "categorical":
        ordered, categories, codes = rest
        return pandas.Categorical.from_codes(
            reader.value(codes), reader.value(categories), ordered=bool(ordered)
        )
    if form == "masked":
        name, values, mask = rest
        if name not in _MASKED:
            raise StateDamagedError(f"a column is of the unknown kind {name!r}")
        return getattr(pandas.arrays, name)(reader.value(values), reader.value(mask))
    if form == "text":
        storage, is_nan, items = rest
        dtype = pandas.StringDtype(storage, na_value=np.nan if is_nan else pandas.NA)
        return pandas.array(reader.value(items), dtype=dtype)
    if form == "period":
        return pandas.PeriodIndex.from_ordinals(
            reader.value(rest[1]), freq=pandas.PeriodDtype(only(rest[0], str)[7:-1]).freq
        ).array
    if form == "interval":
        closed, left, right = rest
        return pandas.arrays.IntervalArray.from_arrays(
            reader.value(left), reader.value(right), closed=closed
        )
    if form == "sparse":
        kind, fill, values = rest
        return pandas.arrays.SparseArray(
            reader.value(values), fill_value=reader.value(fill), kind=kind
        )
    raise StateDamagedError(f"a column is of the unknown kind {form!r}")


def _index_node(value: Any, branch: Branch) -> list[Any]:
    kind = type(value).__name__
    names = branch.child("names").node(list(value.names))
    if kind == "RangeIndex":
        return [kind, names, value.start, value.stop, value.step]
    if kind == "MultiIndex":
        levels = [branch.child(f"level {i}").node(v) for i, v in enumerate(value.levels)]
        codes = [
            branch.child(f"codes {i}").node(np.asarray(v)) for i, v in enumerate(value.codes)
        ]
        return [kind, names, levels, codes]
    if kind == "CategoricalIndex":
        return [kind, names, _array_node(value, branch)]
    frequency = getattr(value, "freqstr", None)
    return [kind, names, _array_node(value, branch), frequency]


def _read_index(content: Any, reader: Reader) -> Any:
    pandas = _pandas()
    kind, names, *rest = content
    names = only(reader.value(names), list)
    if kind == "RangeIndex":
        return pandas.RangeIndex(*rest, name=names[0])
    if kind == "MultiIndex":
        levels, codes = ([reader.value(part) for part in parts] for parts in rest)
        return pandas.MultiIndex(levels, codes, names=names)
    array = _read_array(rest[0], reader)
    if kind == "CategoricalIndex":
        return pandas.CategoricalIndex(array, name=names[0])
    if kind not in _INDEXES:
        raise StateDamagedError(f"an index is of the unknown kind {kind!r}")
    if kind in ("DatetimeIndex", "TimedeltaIndex"):
        return getattr(pandas, kind)(array, freq=rest[1], name=names[0])
    return pandas.Index(array, dtype=array.dtype, name=names[0])


def _series_node(value: Any, branch: Branch) -> list[Any]:
    parts = {"name": value.name, "index": value.index, "attrs": dict(value.attrs)}
    nodes = [branch.child(key).node(part) for key, part in parts.items()]
    return [*nodes, _array_node(value, branch.child("values"))]


def _read_series(content: Any, reader: Reader) -> Any:
    name, index, attrs = (reader.value(part) for part in content[:3])
    array = _read_array(content[3], reader)
    series = _pandas().Series(array, index=index, name=name, dtype=array.dtype)
    series.attrs = attrs
    return series


def _frame_node(value: Any, branch: Branch) -> list[Any]:
    parts = {"columns": value.columns, "index": value.index, "attrs": dict(value.attrs)}
    nodes = [branch.child(key).node(part) for key, part in parts.items()]
    # Columns of one dtype of NumPy's are one array: a frame may have thousands.
    alike: dict[Any, list[int]] = {}
    for position, dtype in enumerate(value.dtypes):
        is_numpy = isinstance(dtype, np.dtype)
        alike.setdefault(str(dtype) if is_numpy else position, []).append(position)
    blocks = []
    for positions in alike.values():
        place = branch.child(f"column {positions[0]}")
        if isinstance(value.dtypes.iloc[positions[0]], np.dtype):
            block = np.stack([value.iloc[:, at].to_numpy() for at in positions])
            blocks.append([positions, ["numpy", place.node(block)]])
        else:
            blocks.append([positions, _array_node(value.iloc[:, positions[0]], place)])
    return [*nodes, blocks]


def _read_frame(content: Any, reader: Reader) -> Any:
    pandas = _pandas()
    columns, index, attrs = (reader.value(part) for part in content[:3])
    found: dict[int, Any] = {}
    for positions, block in content[3]:
        array = _read_array(block, reader)
        rows = array if block[0] == "numpy" else [array]
        for position, row in zip(positions, rows, strict=True):
            found[position] = pandas.Series(row, index=index, dtype=row.dtype)
    frame = pandas.DataFrame({position: found[position] for position in sorted(found)}, index)
    frame.columns = columns
    frame.attrs = attrs
    return frame


def _is_missing(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NaT or value is pandas.NA)


def _moment_node(value: Any, branch: Branch) -> list[Any]:
    plain = value.tz_convert("UTC").tz_localize(None) if value.tz is not None else value
    return [branch.node(value.tz), branch.node(plain.to_datetime64())]


def _read_moment(content: Any, reader: Reader) -> Any:
    zone, moment = (reader.value(part) for part in content)
    value = _pandas().Timestamp(moment)
    return value if zone is None else value.tz_localize("UTC").tz_convert(zone)


KINDS = (
    Kind(
        "pandas.DataFrame",
        (),
        _frame_node,
        _read_frame,
        (
            (
                "pandas `DataFrame`, `Series`, `Index` of every dtype but Arrow's; `Timestamp`, "
                "`Timedelta`, `NaT`, `NA`"
            ),
            "the same",
        ),
        _of("DataFrame"),
    ),
    Kind("pandas.Series", (), _series_node, _read_series, None, _of("Series")),
    Kind(
        "pandas.Index",
        (),
        _index_node,
        _read_index,
        None,
        _of(*_INDEXES, "RangeIndex", "MultiIndex", "CategoricalIndex"),
    ),
    Kind(
        "pandas.missing",
        (),
        lambda value, branch: str(value),  # noqa: ARG005
        lambda content, reader: {"NaT": _pandas().NaT, "<NA>": _pandas().NA}[content],  # noqa: ARG005
        None,
        _is_missing,
    ),
    Kind("pandas.Timestamp", (), _moment_node, _read_moment, None, _of("Timestamp")),
    Kind(
        "pandas.Timedelta",
        (),
        lambda value, branch: branch.node(value.to_timedelta64()),
        lambda content, reader: _pandas().Timedelta(reader.value(content)),
        None,
        _of("Timedelta"),
    ),
)
