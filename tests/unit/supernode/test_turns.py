"""Series take turns, and no series has two of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.supernode.turns import Turns


def test_series_take_turns() -> None:
    turns = Turns[str](1)
    for item in ("a1", "a2", "a3", "b1"):
        turns.wait(ord(item[0]), item)
    order = []
    while given := turns.give():
        (item,) = given
        order.append(item)
        turns.end(ord(item[0]), item)
    assert order == ["a1", "b1", "a2", "a3"]


def test_who_comes_first_is_before_the_others_of_its_series() -> None:
    turns = Turns[str](2)
    turns.wait(1, "later")
    turns.wait(1, "first", first=True)
    assert turns.give() == ["first"]
    assert turns.give() == []


def test_a_turn_ends_once() -> None:
    turns = Turns[str](2)
    turns.wait(1, "item")
    with pytest.raises(ValueError, match="does not have the turn of series 1"):
        turns.end(1, "item")


def test_who_skips_the_queue_holds_up_nobody() -> None:
    turns = Turns[str](1)
    for item in ("a1", "a2", "a3"):
        turns.wait(1, item)
    assert turns.give() == ["a1"]
    assert not turns.skip(1, "a1"), "it has its turn"
    assert turns.skip(1, "a2")
    assert not turns.skip(1, "a2")
    turns.end(1, "a1")
    assert turns.give() == ["a3"]
    turns.end(1, "a2")
    turns.end(1, "a3")
    assert turns.give() == []
    assert not turns.skip(2, "b1")


def test_after_the_end_no_turn_is_given() -> None:
    turns = Turns[str](2)
    turns.wait(1, "item")
    turns.close()
    assert turns.give() == []


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 4), st.randoms())
def test_all_get_a_turn_in_the_order_of_their_series(
    series: list[int], concurrency: int, random: Random
) -> None:
    turns = Turns[tuple[int, int]](concurrency)
    active, served = list[tuple[int, int]](), list[tuple[int, int]]()
    for number, each in enumerate(series):
        turns.wait(each, (each, number))
    while given := [*active, *turns.give()]:
        assert len(given) <= concurrency
        assert len({each for each, _ in given}) == len(given)
        item = random.choice(given)
        turns.end(item[0], item)
        served.append(item)
        active = [each for each in given if each is not item]
    assert sorted(served, key=lambda item: item[1]) == list(
        zip(series, range(len(series)), strict=True)
    )
    for each in set(series):
        numbers = [number for of, number in served if of == each]
        assert numbers == sorted(numbers)
