"""Nested values with those of the frameworks in them, at any depth: generated, stored, read."""

from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.state.examples import examples
from tests.unit.state.steps import digest_of, stored_and_read

torch = pytest.importorskip("torch", reason="PyTorch is optional: pip install torch")
tf = pytest.importorskip("tensorflow")
pd = pytest.importorskip("pandas")
linear_model = pytest.importorskip("sklearn.linear_model")
pytest.importorskip("skops", reason="skops is optional: pip install skops")

SIZES = st.integers(0, 3)
FITTED = linear_model.LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
LEAVES = st.one_of(
    st.integers(-9, 9),
    SIZES.map(lambda n: np.arange(n, dtype=np.int16)),
    SIZES.map(lambda n: torch.arange(n, dtype=torch.bfloat16)),
    SIZES.map(lambda n: tf.range(n)),
    SIZES.map(lambda n: tf.constant(["text"] * n)),
    SIZES.map(lambda n: pd.DataFrame({"x": range(n), "word": ["a"] * n})),
    SIZES.map(lambda n: pd.Series(range(n), name="s", dtype="Int64")),
    st.just(FITTED),
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(lambda items: deque(items, maxlen=5)),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        # Plain dictionaries come back sorted by key.
        ordered = not isinstance(one, OrderedDict) or list(one) == list(other)
        return ordered and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and bool(torch.equal(one, other))
    if isinstance(one, np.ndarray) or tf.is_tensor(one):
        return one.dtype == other.dtype and np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, pd.DataFrame | pd.Series):
        return bool(one.equals(other)) and str(one.index) == str(other.index)
    if isinstance(one, linear_model.LinearRegression):
        return bool(np.array_equal(one.predict([[7.0]]), other.predict([[7.0]])))
    return bool(one == other)


@settings(max_examples=examples(60, 500), derandomize=True, deadline=None)
@given(NESTED)
def test_nested_values_of_the_frameworks_come_back_and_are_stored_equally(value: Any) -> None:
    back = stored_and_read(value)
    assert same(value, back)
    assert digest_of(back) == digest_of(value)
