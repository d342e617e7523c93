"""Whatever is stored comes back the same, and its digest says exactly that."""

from collections import UserDict
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from flwr.app import ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.state import StateTypeError
from tests.unit.state.examples import examples
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read
from tests.unit.state.values import arrays, canonical, values


@settings(max_examples=examples(150, 400))
@given(values)
def test_every_value_comes_back_the_same(value: Any) -> None:
    assert canonical(stored_and_read(value)) == canonical(value)


@settings(max_examples=examples(80, 200))
@given(arrays)
def test_every_array_comes_back_the_same_and_can_be_changed(array: np.ndarray[Any, Any]) -> None:
    back = stored_and_read(array)
    assert canonical(back) == canonical(array)
    assert back.flags.writeable
    assert back.flags.c_contiguous


@settings(max_examples=examples(100, 300))
@given(values, values)
def test_digests_are_equal_exactly_when_values_are(one: Any, other: Any) -> None:
    same = canonical(one) == canonical(other)
    assert (digest_of(one) == digest_of(other)) is same


@settings(max_examples=examples(80, 200))
@given(values, st.data())
def test_a_copy_has_the_same_digest(value: Any, data: st.DataObject) -> None:
    assert digest_of(stored_and_read(value)) == digest_of(value)


@settings(max_examples=examples(50, 100))
@given(hnp.arrays(np.float32, hnp.array_shapes(min_side=1)), st.data())
def test_one_flipped_bit_changes_the_digest(
    array: np.ndarray[Any, Any], data: st.DataObject
) -> None:
    altered = array.copy()
    bits = altered.reshape(-1).view(np.uint8)
    position = data.draw(st.integers(0, bits.size - 1))
    bits[position] ^= 1 << data.draw(st.integers(0, 7))
    assert digest_of(altered) != digest_of(array)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ([1], (1,)),
        ("1", 1),
        (b"a", "a"),
        ([], ()),
        ({}, []),
        ([[]], []),
        (["ab", "c"], ["a", "bc"]),
        ({"1": 1}, {1: 1}),
        (np.zeros(2, "<f4"), np.zeros(2, ">f4")),
        (np.zeros((2, 0)), np.zeros((0, 2))),
        (np.float32(1), np.ones((), np.float32)),
        ({"@": "tuple", "of": [1]}, (1,)),
    ],
)
def test_what_python_may_take_for_equal_is_told_apart(one: Any, other: Any) -> None:
    assert digest_of(one) != digest_of(other)
    for value in (one, other):
        assert canonical(stored_and_read(value)) == canonical(value)


def test_dictionaries_are_equal_in_any_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({1: 1, 2: 2}) == digest_of({2: 2, 1: 1})


def test_padding_is_no_content() -> None:
    dtype = np.dtype([("small", np.int8), ("large", np.float64)], align=True)
    clean, dirty = np.zeros(2, dtype), np.full(2 * dtype.itemsize, 255, np.uint8).view(dtype)
    dirty["small"], dirty["large"] = 0, 0
    assert clean.tobytes() != dirty.tobytes()
    assert digest_of(clean) == digest_of(dirty)


def test_plain_flower_code_can_read_stored_arrays() -> None:
    context = make_context()
    with step(context) as state:
        state["array"] = np.arange(6.0).reshape(2, 3).T
        state["weights"] = {"w": np.ones(2), "step": 3}
    records = sent(context).state
    assert isinstance(records["array"], ArrayRecord)
    assert records["array"]["array"].numpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert records["weights"]["w"].numpy().tolist() == [1, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (object(), "it is a builtins.object"),
        ({"a": [1, {object}]}, "a/1/ is a builtins.type"),
        ({"a": {len: 3}}, "a/<built-in function len> is a builtins.builtin_function"),
        (np.array([object()]), "0 is a builtins.object"),
        (np.array([1], dtype=[("a", "O")]), "holds Python objects"),
        (UserDict(a=1), "collections.UserDict"),
        (np.ma.masked_array([1]), "MaskedArray"),
        (np.zeros(1, [("größe €", "f4")]), "no npy header"),
    ],
)
def test_what_cannot_be_stored_is_named(value: object, sentence: str) -> None:
    context = make_context()
    with (
        pytest.raises(StateTypeError, match=f"^State value 'x': .*{sentence}"),
        step(context) as state,
    ):
        state["x"] = value
