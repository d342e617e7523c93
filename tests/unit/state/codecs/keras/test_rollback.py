"""What is loaded halfway is put back, to the byte."""

from typing import Any

import keras
import numpy as np
import pytest

from fedstate.state import StateFitError
from fedstate.state.codecs.keras.rollback import all_or_nothing
from tests.unit.state.keras_models import everything, net, remember
from tests.unit.state.steps import step


def test_a_load_that_fails_leaves_everything_as_it_was() -> None:
    source, target = net(), net()
    source.keeper.text, target.keeper.seen = "refuse", [5]
    before, attributes = everything(target), dict(vars(target.keeper))
    with (
        step(remember(model=source)) as state,
        pytest.raises(StateFitError, match=r"'keeper' does not take .* this text is refused"),
    ):
        state.load("model", into=target)
    assert everything(target) == before
    assert vars(target.keeper) == attributes
    assert target.keeper.seen == [5]


def test_attributes_containers_and_variables_are_put_back() -> None:
    class Thing:
        def __init__(self) -> None:
            self.number = 1
            self.items: list[Any] = [1, {"a": [2]}, {3}]

    thing, variable = Thing(), keras.Variable([1.0, 2.0])
    items, inner = thing.items, thing.items[1]["a"]

    def change() -> None:
        with all_or_nothing([thing], [variable]):
            thing.number, thing.new = 2, 3  # type: ignore[attr-defined]
            inner.append(9)
            items[2].clear()
            items.insert(0, 0)
            thing.items = []
            variable.assign([7.0, 8.0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change()
    assert vars(thing) == {"number": 1, "items": [1, {"a": [2]}, {3}]}
    assert thing.items is items
    assert items[1]["a"] is inner
    assert np.asarray(variable).tolist() == [1, 2]


def test_a_block_that_succeeds_keeps_what_it_did() -> None:
    variable = keras.Variable([1.0])
    with all_or_nothing([], [variable]):
        variable.assign([2.0])
    assert np.asarray(variable).tolist() == [2]
