"""Python's collections: what of them is content, and what is read."""

from collections import OrderedDict, defaultdict
from typing import Any

import pytest

from fedstate.state import StateTypeError
from fedstate.state.kinds.containers import canonical
from tests.unit.state.steps import digest_of, stored_and_read


@pytest.mark.parametrize("kind", [set, frozenset])
def test_the_order_in_which_a_set_gives_its_elements_is_no_content(kind: Any) -> None:
    """Numbers that fall on one place of a small set's table come in the order they went in."""
    one, other = kind([0, 8, 16]), kind([16, 8, 0])
    assert list(one) != list(other)
    assert digest_of(one) == digest_of(other)
    keys = [{frozenset(each): 1, "a": {frozenset(each)}} for each in (one, other)]
    assert digest_of(keys[0]) == digest_of(keys[1])


def test_what_a_defaultdict_may_call() -> None:
    back = stored_and_read(defaultdict(list, a=[1]))
    assert back["new"] == []
    assert stored_and_read(defaultdict(None, {1: 2})).default_factory is None

    class Own:
        pass

    with pytest.raises(
        StateTypeError, match=r"calls <class .*Own'> for a missing key, .* use a b"
    ):
        stored_and_read(defaultdict(Own))


def test_the_order_of_an_ordered_dictionary_is_content_and_so_are_its_attributes() -> None:
    one, other = OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)
    assert digest_of([one]) != digest_of([other])
    assert list(stored_and_read(other)) == ["b", "a"]
    one._metadata = {"version": 1}  # type: ignore[attr-defined]
    assert vars(stored_and_read([one])[0]) == {"_metadata": {"version": 1}}


def test_canonical_json_is_the_same_for_equal_values() -> None:
    assert canonical({"b": 1, "a": [2]}) == canonical({"a": [2], "b": 1})
    assert canonical([1, 2]) != canonical([2, 1])
