"""Places in a nested value, and what a decoder may be given."""

from typing import Any

import numpy as np
import pytest

from fedstate.state import StateDamagedError, StateTypeError
from fedstate.state.codecs.npy import encode_array
from fedstate.state.codecs.tree import read_node, to_tree
from fedstate.state.kinds.base import Branch, Reader, inline_array, no_attributes, only


def branch() -> Branch:
    return Branch((), None)  # type: ignore[arg-type]


def test_no_two_places_share_a_path() -> None:
    paths = [
        branch().child("a/b").path,
        branch().child("a").child("b").path,
        branch().child("a~1b").path,
        branch().child("a~b").path,
        branch().child("").child("a").path,
    ]
    assert len({"/".join(path) for path in paths}) == len(paths)
    assert branch().shown == "it"
    assert branch().child("a").child("b/c").shown == "a/b~1c"


def test_what_is_inline_stays_so_further_in() -> None:
    assert not branch().child("a").is_inline
    assert branch().inline().child("a").is_inline


def test_an_array_in_the_json_itself_comes_back() -> None:
    array = encode_array(np.arange(3))
    back = Reader({}, read_node).array(inline_array(array))
    assert (back.dtype, back.shape, back.data) == (array.dtype, tuple(array.shape), array.data)
    tree = to_tree({np.int8(3)})
    assert (tree.arrays, tree.version) == ({}, 2)


def test_an_array_is_given_once() -> None:
    reader = Reader({"a": encode_array(np.ones(1))}, read_node)
    reader.array("a")
    with pytest.raises(KeyError):
        reader.array("a")


@pytest.mark.parametrize(
    ("value", "types"), [(True, (int,)), ("a", (bytes,)), (None, (str,)), ([], (dict, tuple))]
)
def test_only_the_very_type_is_taken(value: Any, types: tuple[type, ...]) -> None:
    assert only(value, type(value), *types) is value
    with pytest.raises(StateDamagedError, match=r"in a place where it cannot be$"):
        only(value, *types)


def test_attributes_that_would_be_lost_are_named() -> None:
    class Thing:
        pass

    thing: Any = Thing()
    no_attributes(thing, branch())
    thing.note = 1
    with pytest.raises(StateTypeError, match=r"^a is a .*Thing with the attribute 'note', which"):
        no_attributes(thing, branch().child("a"))
