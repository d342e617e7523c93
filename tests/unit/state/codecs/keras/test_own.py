"""What one part of a model saves of itself, by Keras's protocol."""

from typing import Any

import keras
import numpy as np
import pytest

from fedstate.state import StateTypeError
from fedstate.state.codecs.keras.own import array_of, has_own_methods, own_of, put
from fedstate.state.codecs.keras.walk import walk
from tests.unit.state.keras_models import Keeper, L


def own(layer: Any) -> Any:
    return own_of(walk(layer)[0])


def test_a_layer_saves_its_variables_by_name() -> None:
    layer = L.Dense(2)
    layer.build((None, 3))
    found = own(layer)
    assert found.variables == {"kernel": layer.kernel, "bias": layer.bias}
    assert list(found.slots.values()) == [layer.kernel, layer.bias]
    assert (found.extras, found.is_raw, found.beside) == ({}, False, [])


def test_what_is_no_variable_is_an_extra_and_files_are_bytes() -> None:
    layer = Keeper()
    layer.build((None, 3))
    layer.seen, layer.text = [1, 2], "ü"
    found = own(layer)
    assert list(found.variables) == ["scale"]
    assert found.extras["seen"].tolist() == [1, 2]
    assert found.extras["assets/text.txt"].tobytes() == "ü".encode()
    assert found.takes_extras()


def test_random_seeds_stand_beside() -> None:
    layer = L.Dropout(0.5)
    found = own(layer)
    assert found.beside == [layer.seed_generator.state]
    put(found, {id(layer.seed_generator.state): np.array([7, 8], "uint32")}, {})
    assert np.asarray(layer.seed_generator.state).tolist() == [7, 8]


def test_only_what_is_given_is_put() -> None:
    layer = L.Dense(2)
    layer.build((None, 3))
    kernel = np.asarray(layer.kernel).copy()
    put(own(layer), {id(layer.bias): np.ones(2, "float32")}, {})
    assert np.asarray(layer.bias).tolist() == [1, 1]
    np.testing.assert_array_equal(layer.kernel, kernel)


def test_adapters_are_kept_apart_from_the_kernel() -> None:
    layer = L.Dense(2)
    layer.build((None, 3))
    layer.enable_lora(1)
    found = own(layer)
    assert found.is_raw
    assert {"lora_kernel_a", "lora_kernel_b"} <= set(found.variables)


def test_who_has_saving_methods_of_its_own() -> None:
    assert has_own_methods(Keeper())
    assert not has_own_methods(Plain())
    assert not own(Plain()).takes_extras()


class Plain(keras.layers.Layer):  # type: ignore[misc]
    """A layer with the methods of its base."""


class Failing(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, saved: Any, **options: Any) -> None:
        super().__init__(**options)
        self.saved = saved

    def save_own_variables(self, store: Any) -> None:
        if isinstance(self.saved, Exception):
            raise self.saved
        store["thing"] = self.saved


def test_a_layer_that_cannot_save_itself_is_named() -> None:
    with pytest.raises(StateTypeError, match="the layer 'odd' cannot save itself: not now"):
        own(Failing(ValueError("not now"), name="odd"))
    with pytest.raises(StateTypeError, match="saves 'thing' as a object, which is no array; let"):
        own(Failing(object()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool"])
def test_every_variable_gives_its_array(dtype: str) -> None:
    array = array_of(keras.Variable(np.ones((2, 1)), dtype=dtype))
    assert (str(array.dtype), array.tolist()) == (dtype, [[1], [1]])
