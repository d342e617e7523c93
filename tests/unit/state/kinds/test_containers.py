"""Python's collections: what of them is content, and what is read."""

from typing import Any

import pytest

from tests.unit.state.steps import digest_of


@pytest.mark.parametrize("kind", [set, frozenset])
def test_the_order_in_which_a_set_gives_its_elements_is_no_content(kind: Any) -> None:
    """Numbers that fall on one place of a small set's table come in the order they went in."""
    one, other = kind([0, 8, 16]), kind([16, 8, 0])
    assert list(one) != list(other)
    assert digest_of(one) == digest_of(other)
    keys = [{frozenset(each): 1, "a": {frozenset(each)}} for each in (one, other)]
    assert digest_of(keys[0]) == digest_of(keys[1])
