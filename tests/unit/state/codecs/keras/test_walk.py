"""Every part of a model that can save itself is found once, at any depth."""

from typing import Any

import keras

from fedstate.state.codecs.keras.walk import walk
from tests.unit.state.keras_models import Block, L, net


def test_the_parts_of_a_subclassed_model_in_their_order() -> None:
    places = walk(net())
    assert [place.name for place in places] == [
        *("", "block", "block/layer_normalization", "block/dense_7", "block/dense"),
        *("block/dense_1", "dropout", "keeper"),
    ]
    by_name = {place.name: place for place in places}
    assert not by_name["block/dense_7"].is_counted
    assert by_name["block/dense"].is_counted
    assert by_name["block/dense"].around is by_name["block"]
    assert list(by_name["dropout"].seeds) == ["seed_generator"]
    assert "gain" in by_name[""].loose


def test_a_shared_layer_is_one_place() -> None:
    shared = L.Dense(3, name="shared")
    places = walk(Block([shared, shared]))
    assert [place.saveable for place in places].count(shared) == 1


def test_what_is_within_what() -> None:
    inner = L.Dense(3, name="inner")
    root, block, dense = walk(Block([Block([inner])], name="outer"))
    assert dense.saveable is inner
    assert dense.shown[-1] == "inner"
    for place in (root, block, dense):
        assert dense.is_within({id(place)})
        assert place.is_within({id(root)})
    assert not block.is_within({id(dense)})
    assert not dense.is_within(set())


def test_containers_that_hold_themselves_and_properties_that_fail_are_passed_over() -> None:
    class Odd(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.held: Any = {"b": [L.Dense(1, name="one")], "a": (L.Dense(1, name="two"), 3)}
            self.held["self"] = self.held

        @property
        def broken(self) -> Any:
            raise ValueError("not now")

    assert [place.name for place in walk(Odd())] == ["", "two", "one"]
