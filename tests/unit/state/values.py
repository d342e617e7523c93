"""Generated values of every kind that client state stores, and when two of them are equal."""

import functools
from typing import Any

import hypothesis.extra.numpy as hnp
import ml_dtypes
import numpy as np
from hypothesis import strategies as st

MAX_SIDE = 3
EXTENDED = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]

plain_dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    st.just(np.dtype(np.longdouble)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.unicode_string_dtypes(),
)


@st.composite
def structured_dtypes(draw: st.DrawFn) -> np.dtype[Any]:
    """Return a structured dtype, padded or not, with a sub-array or a structure in it or not."""
    inner = np.dtype([("x", draw(plain_dtypes)), ("y", np.int8)], align=draw(st.booleans()))
    kinds = st.one_of(plain_dtypes, st.just(inner))
    fields = [(name, draw(kinds), draw(st.sampled_from([(), (2,)]))) for name in "abc"]
    return np.dtype(fields, align=draw(st.booleans()))


dtypes = st.one_of(plain_dtypes, structured_dtypes())
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=MAX_SIDE)


@st.composite
def extended_arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(shapes)
    bits = draw(hnp.arrays(np.uint16, shape))
    return bits.astype(np.float32).astype(draw(st.sampled_from(EXTENDED)))


@st.composite
def views(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Return an array that is not contiguous: transposed, reversed, or with steps."""
    array = draw(hnp.arrays(dtypes, hnp.array_shapes(min_dims=2, max_dims=3, max_side=4)))
    steps = draw(st.tuples(*(st.sampled_from([1, 2, -1]) for _ in array.shape)))
    return array.T[tuple(slice(None, None, step) for step in steps)]


arrays = st.one_of(hnp.arrays(dtypes, shapes), views(), extended_arrays())
numbers = st.one_of(st.integers(), st.floats(), st.booleans())
texts = st.text(st.characters(), max_size=8)  # lone surrogates, too
scalars = st.one_of(st.none(), numbers, texts, st.binary(max_size=8))
numpy_scalars = st.one_of(
    st.floats(width=32).map(np.float32), st.integers(0, 255).map(np.uint8), st.just(np.bool_(1))
)
keys = st.one_of(texts, st.integers(), st.binary(max_size=4))
flower_lists = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.floats()),
    st.lists(st.booleans()),
    st.lists(st.text()),
    st.lists(st.binary()),
)
nested = st.recursive(
    st.one_of(scalars, arrays, numpy_scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(texts, inner, max_size=3),
    ),
    max_leaves=6,
)
values = st.one_of(scalars, numpy_scalars, flower_lists, arrays, nested)


@functools.singledispatch
def canonical(value: object) -> Any:
    """Return a form that two values share exactly if they have the same types and content."""
    return type(value).__name__, value


@canonical.register
def _(value: np.ndarray) -> Any:
    return "array", _type(value), value.shape, _elements(value)


@canonical.register
def _(value: np.generic) -> Any:
    return "scalar", _type(np.asarray(value)), _elements(np.asarray(value))


@canonical.register
def _(value: float) -> Any:
    return "float", np.float64(value).tobytes()


@canonical.register(list)
@canonical.register(tuple)
def _(value: Any) -> Any:
    return type(value).__name__, [canonical(item) for item in value]


@canonical.register
def _(value: dict) -> Any:  # type: ignore[type-arg]
    items = [(canonical(key), canonical(item)) for key, item in value.items()]
    return "dict", sorted(items, key=repr)


def _type(array: np.ndarray[Any, Any]) -> str:
    # `align` shows in the name of a dtype, and is gone once it has given the fields their places.
    is_structure = array.dtype.names is not None
    return str(np.lib.format.dtype_to_descr(array.dtype) if is_structure else array.dtype)


def _elements(array: np.ndarray[Any, Any]) -> Any:
    """Return the elements' bytes without padding, which is no content."""
    if array.dtype.names is not None:
        return [_elements(array[name]) for name in array.dtype.names]
    content = np.array(array, order="C", copy=True)
    if content.dtype.type in (np.longdouble, np.clongdouble):
        words = content.reshape(-1).view(np.uint8).reshape(-1, np.dtype(np.longdouble).itemsize)
        return words[:, :10].tobytes()
    return content.tobytes()
