"""Names that Keras counted are told from those that the user gave."""

from pathlib import Path

import keras
import numpy as np
import pytest

from fedstate.state.codecs.keras.names import (
    by_place,
    is_counted,
    kind_of,
    paths_by_place,
    snake_case,
    split,
    unique,
    variable_name,
)
from tests.unit.state.keras_models import (
    L,
    everything,
    load,
    stack,
)
from tests.unit.state.steps import digest_of, stored_and_read


def test_names_that_keras_counted_are_compared_without_their_number() -> None:
    source = stack([None, None, "dense_9"])
    for _ in range(12):
        L.Dense(1)
    target, clone = stack([None, None, "dense_9"]), keras.models.clone_model(source)
    clone.set_weights(source.get_weights())
    load(source, target)
    assert everything(target) == everything(source)
    assert digest_of(source) == digest_of(target) == digest_of(clone)
    assert list(stored_and_read(target))[::2] == [
        "dense/kernel",
        "dense_1/kernel",
        "dense_9/kernel",
    ]
    keras.utils.clear_session()
    again = stack([None, None, "dense_9"])
    load(source, again)
    assert digest_of(again) == digest_of(source)


def test_a_model_from_a_file_and_one_from_code_fit_each_other(tmp_path: Path) -> None:
    source, target = stack([None, None]), stack([None, None])
    source.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    read.layers[0].kernel.assign(np.ones((3, 3)))
    load(read, target)
    assert everything(target) == everything(read)
    load(source, read)
    assert everything(read) == everything(source)


def test_only_names_that_keras_made_are_counted() -> None:
    layers = [L.Dense(1), L.Dense(1), L.Dense(1, name="dense_77"), L.Dense(1, name="dense")]
    assert [is_counted(layer) for layer in layers] == [True, True, False, False]
    clone = L.Dense.from_config(layers[0].get_config())
    assert clone.name is layers[0].name
    assert is_counted(clone), "a clone has the very same string"
    both = L.Bidirectional(L.LSTM(2, name="mine"))
    assert not is_counted(both.forward_layer)
    assert is_counted(both.forward_layer, around=both)


def test_names_by_place_do_not_depend_on_what_was_made_before() -> None:
    counted = [L.Dense(1), L.LayerNormalization(), L.Dense(1)]
    assert by_place(counted) == ["dense", "layer_normalization", "dense_1"]
    assert by_place([L.Dense(1, name="dense_1"), *counted]) == [
        *("dense_1", "dense", "layer_normalization", "dense_1#")
    ]
    assert by_place([]) == []


def test_a_direction_is_part_of_what_a_layer_is() -> None:
    layer = L.Bidirectional(L.LSTM(2))
    assert kind_of(layer.forward_layer) == "forward_lstm"
    assert kind_of(L.LSTM(2, name="forward_mine")) == "lstm"


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Dense", "dense"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("LSTMCell", "lstm_cell"),
        ("GRU", "gru"),
        ("BatchNormalization", "batch_normalization"),
        ("HTTPLayer2d", "http_layer2d"),
    ],
)
def test_class_names_are_written_as_keras_does(name: str, snake: str) -> None:
    assert snake_case(name) == snake
    layer = type(name, (L.Layer,), {})()
    assert split(layer.name)[0] == snake == kind_of(layer)


def test_numbers_at_the_end() -> None:
    assert [split(name) for name in ("a_7", "a", "a_b_07", "a7", "_1", "a_1_")] == [
        *(("a", 7), ("a", 0), ("a_b", 7), ("a7", 0), ("", 1), ("a_1_", 0))
    ]
    assert [variable_name(name) for name in ("variable_3", "variable", "kernel_3")] == [
        *("variable", "variable", "kernel_3")
    ]


def test_a_name_that_was_there_gets_a_number() -> None:
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a#1", "a#2"]


def test_paths_of_variables_are_those_of_their_living_layers() -> None:
    L.Dense(1)
    model = stack([None, "mine", None])
    paths, counted = paths_by_place(model.trainable_variables[::2])
    assert [path.split("/")[-2:] for path in paths] == [
        *(["dense", "kernel"], ["mine", "kernel"], ["dense_1", "kernel"])
    ]
    assert {path.rpartition("/")[2] for path in counted} >= {"dense", "dense_1"}
    assert not any(path.endswith("mine") for path in counted)
