"""Nested values as JSON with arrays beside it, and what that JSON may not be."""

import json
from typing import Any

import numpy as np
import pytest

from fedstate.state import StateDamagedError, StateTypeError
from fedstate.state.codecs.npy import encode_array
from fedstate.state.codecs.tree import from_tree, to_tree
from tests.unit.state.steps import make_context, step, stored_and_read
from tests.unit.state.values import canonical


def test_paths_in_nested_values_do_not_collide() -> None:
    value = {
        "a/b": np.zeros(1), "a": {"b": np.ones(1)}, "": np.full(1, 2), "~1": np.full(1, 3),
        "value": np.full(1, 4), "/": {"": np.full(1, 5)},
    }  # fmt: skip
    assert canonical(stored_and_read(value)) == canonical(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(StateTypeError, match="contains itself"), step(make_context()) as state:
        state["x"] = value


def test_what_json_holds_is_plain_json_with_sorted_keys() -> None:
    tree = to_tree({"b": [1, 0.5, None, True], "a": "ü"})
    assert json.loads(tree.text) == {"a": "ü", "b": [1, 0.5, None, True]}
    assert tree.text.index('"a"') < tree.text.index('"b"')
    assert (tree.arrays, tree.version) == ({}, 1)


def test_arrays_are_named_by_their_place() -> None:
    arrays = {"a/b": np.zeros(1), "~": [np.ones(1)], float("nan"): np.ones(2)}
    tree = to_tree({**arrays, float("nan"): np.ones(3)})
    assert list(tree.arrays) == ["'a~1b'", "'~0'/0", "nan", "nan#2"]
    assert list(to_tree(np.ones(1)).arrays) == ["value"]


def nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_the_depth_is_bounded() -> None:
    assert from_tree(to_tree(nest(64)).text, {}) == nest(64)
    with pytest.raises(StateTypeError, match="nested deeper than 64 levels, or contains itself"):
        to_tree(nest(65))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[" * 10_000,
        '{"@": "tuple"}',
        '{"@": "tuple", "of": 3}',
        '{"@": "dict", "of": [[1]]}',
        '{"@": "dict", "of": [[[], 1]]}',
        '{"@": "int", "of": "x"}',
        '{"@": "int", "of": 3}',
        '{"@": "float", "of": "00"}',
        '{"@": "str", "of": "zz"}',
        '{"@": "str", "of": "ff"}',
        '{"@": "bytes", "of": "*"}',
        '{"@": "array", "of": "none"}',
        '{"@": "array", "of": ["float64", [1], "numpy.ndarray", "*"]}',
    ],
)
def test_what_is_no_structure_is_damage(text: str) -> None:
    with pytest.raises(StateDamagedError, match=r"^its structure cannot be read: "):
        from_tree(text, {})


@pytest.mark.parametrize("mark", ["pickle", "", None, [], {}, 3])
def test_an_unknown_kind_is_damage(mark: Any) -> None:
    with pytest.raises(StateDamagedError, match=r"of the unknown kind|cannot be read"):
        from_tree(json.dumps({"@": mark, "of": 1}), {})


def test_an_array_that_is_not_mentioned_or_twice_is_damage() -> None:
    array = encode_array(np.ones(1))
    with pytest.raises(StateDamagedError, match=r"does not mention the arrays \['b'\]"):
        from_tree('{"@": "array", "of": "a"}', {"a": array, "b": array})
    with pytest.raises(StateDamagedError, match="cannot be read: KeyError"):
        from_tree('[{"@": "array", "of": "a"}, {"@": "array", "of": "a"}]', {"a": array})
