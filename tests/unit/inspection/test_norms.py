"""Norms of differences are those that NumPy computes, whatever the type, NaN and infinities."""

import warnings
from typing import Any

import hypothesis.extra.numpy as hnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.inspection import norms
from fedstate.inspection.norms import count_differing, distance, is_numeric, same_bytes
from tests.unit.state.examples import examples

shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
elements = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    shape = draw(shapes)
    one, two = (draw(hnp.arrays(np.float64, shape, elements=elements)) for _ in (1, 2))
    dtype = draw(st.sampled_from(["float64", "float32", "int32", "complex128"]))
    return one.astype(dtype), two.astype(dtype)


@settings(max_examples=examples(60, 1000), deadline=None)
@given(pairs())
def test_norms_are_those_of_the_whole_difference(pair: tuple[Any, Any]) -> None:
    one, two = pair
    far = distance(one, two)
    gap = np.abs(two.astype(np.complex128) - one.astype(np.complex128)).reshape(-1)
    assert far.l2 == pytest.approx(np.linalg.norm(gap))
    assert far.max_abs == pytest.approx(gap.max(initial=0.0))
    norm = np.linalg.norm(one.astype(np.complex128).reshape(-1))
    assert far.relative == (pytest.approx(far.l2 / norm) if norm else None)
    assert far.differing == np.count_nonzero(one != two)
    assert (far.count, far.nan_before, far.nan_after) == (one.size, 0, 0)
    assert same_bytes(one, two) == (one.tobytes() == two.tobytes())


def test_what_is_not_a_number_is_counted_and_left_out() -> None:
    nan, inf = np.nan, np.inf
    one = np.array([nan, nan, 1.0, inf, inf, 3.0])
    two = np.array([nan, 2.0, nan, inf, -inf, 7.0])
    far = distance(one, two)
    assert (far.nan_before, far.nan_after, far.differing) == (2, 2, 4)
    assert far.l2 == far.max_abs == inf
    assert far.relative is None
    finite = distance(one[[0, 1, 2, 5]], two[[0, 1, 2, 5]])
    assert (finite.l2, finite.max_abs) == (4.0, 4.0)


def test_large_integers_differ_by_one() -> None:
    one = np.array([2**63 - 1, 0], np.int64)
    far = distance(one, one - np.array([1, 0]))
    assert (far.differing, far.max_abs) == (1, 1.0)


def test_an_array_of_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = np.arange(1000.0), np.arange(1000.0) + 1
    whole = distance(one, two)
    monkeypatch.setattr(norms, "_BLOCK", 7)
    assert distance(one, two).l2 == pytest.approx(whole.l2)
    assert distance(one, two).differing == 1000


def test_types_of_ml_dtypes_are_numbers_and_texts_are_not() -> None:
    half = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    assert is_numeric(half)
    assert distance(half, half + half).l2 == pytest.approx(5**0.5)
    texts = np.array(["a", "bb"]), np.array(["a", "cc"])
    assert not is_numeric(texts[0])
    assert count_differing(*texts) == 1
    structure = np.zeros(3, [("x", "i4"), ("y", "f8")])
    assert not is_numeric(structure)
    changed = structure.copy()
    changed[1] = (1, 0.0)
    assert count_differing(structure, changed) == 1


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distance(np.array([1e300, np.inf, np.nan]), np.array([-1e300, 0.0, 1.0]))
