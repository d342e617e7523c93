"""Models of every build: nested, shared, subclassed, with saving methods of their own."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.state import StateDamagedError, StateFitError
from tests.unit.state.examples import examples
from tests.unit.state.keras_models import Block, L, Net, X, everything, load, net, remember
from tests.unit.state.steps import digest_of, step, stored_and_read


def test_a_subclassed_model_comes_back_whole() -> None:
    source, target = net(), net()
    source.keeper.seen, source.keeper.text = [1, 2], "a\nb"
    load(source, target)
    assert everything(target) == everything(source)
    assert (target.keeper.seen, target.keeper.text) == ([1, 2], "a\nb")
    np.testing.assert_array_equal(target.keeper.doubled, np.asarray(source.keeper.scale) * 2)
    assert digest_of(target) == digest_of(source)
    assert list(stored_and_read(source))[:3] == ["gain", "block/bias", "block/dense/kernel"]


def test_an_array_whose_name_means_nothing_is_damage() -> None:
    dense = L.Dense(2)
    dense.build((None, 3))
    with step(remember(layer=dense)) as state:
        state["layer"]["x/@/"] = np.ones(1)
        with pytest.raises(StateDamagedError, match="an array of the name 'x/@/', which means"):
            state.load("layer", into=dense)
        del state["layer"]["x/@/"]
        state["layer"]["x/@/seen"] = np.ones(1)
        with pytest.raises(StateFitError, match=r"layer 'x' saved is stored \(seen\), and the"):
            state.load("layer", into=dense)


def test_a_layer_alone_can_be_stored() -> None:
    source, target = L.Dense(2), L.Dense(2)
    source.build((None, 3))
    with step(remember(layer=source)) as state:
        with pytest.raises(StateFitError, match="is not built yet and has no variables"):
            state.load("layer", into=target)
        assert not target.built
        target.build((None, 3))
        state.load("layer", into=target)
        assert list(state["layer"]) == ["kernel", "bias"]
    assert everything(target) == everything(source)


def test_tied_weights_are_stored_once() -> None:
    class Tied(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, other: Any) -> None:
            super().__init__()
            self.other = other
            self.kernel = other.kernel

    def make() -> Any:
        shared = L.Dense(3, name="shared")
        inputs = keras.Input((3,))
        return keras.Model(inputs, shared(shared(inputs)))

    source, target = make(), make()
    load(source, target)
    assert everything(target) == everything(source)
    assert list(stored_and_read(source)) == ["shared/kernel", "shared/bias"]
    dense = L.Dense(3, name="dense_a")
    dense.build((None, 3))
    assert [n for n in stored_and_read(Tied(dense)) if n.endswith("kernel")] == ["kernel"]


# Shapes of models: a layer by its name, a nested model, a block of own class, one shared layer.
_names = st.sampled_from([None, None, "dense", "dense_1", "dense_2", "block_1", "a"])
_trees = st.recursive(
    _names.map(lambda name: ("layer", name)),
    lambda inner: st.tuples(
        st.sampled_from(["model", "block", "twice"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def build(tree: Any) -> Any:
    kind, content = tree
    if kind == "layer":
        return L.Dense(3, name=content)
    inner = [build(item) for item in content]
    if kind == "block":
        return Block(inner)
    inputs = output = keras.Input((3,))
    for layer in inner * (2 if kind == "twice" else 1):
        output = layer(output)
    return keras.Model(inputs, output)


def make_net(trees: list[Any]) -> Any:
    model = Net([build(tree) for tree in trees])
    model(X)
    return model


@settings(max_examples=examples(10, 30))
@given(st.lists(_trees, min_size=1, max_size=3), st.integers(0, 3))
def test_any_model_comes_back(trees: list[Any], counted: int) -> None:
    make: Callable[[], Any] = lambda: make_net(trees)  # noqa: E731
    try:
        source = make()
        for _ in range(counted):
            L.Dense(1), Block([])
        target = make()
    except ValueError:
        return  # Keras refuses a name that was given twice in one model
    for number, variable in enumerate(source.weights):
        variable.assign(np.full(variable.shape, number))
    load(source, target)
    assert everything(target) == everything(source)
    assert digest_of(target) == digest_of(source)
    stored = stored_and_read(source)
    assert len(stored) == len({id(v) for v in source.variables}) + 2  # what Keeper adds
    np.testing.assert_array_equal(np.asarray(target(X)), np.asarray(source(X)))
