"""What layers learn by ``adapt`` is kept, whatever it is."""

from typing import Any

import keras
import numpy as np
import pytest

from fedstate.state import StateDamagedError
from fedstate.state.codecs.keras.learnt import learnt_by
from tests.unit.state.keras_models import (
    L,
    load,
)
from tests.unit.state.steps import digest_of


def test_a_feature_space_keeps_what_it_learnt() -> None:
    def make(factor: int) -> Any:
        import tensorflow as tf

        kinds = keras.utils.FeatureSpace
        features = {
            "a": kinds.float_normalized(),
            "b": kinds.string_categorical(),
            "c": kinds.float_discretized(num_bins=3),
        }
        space = kinds(features=features, output_mode="concat")
        numbers = np.arange(8.0).astype("float32") * factor
        data = {"a": numbers, "b": np.array(list("abcabcab")[::factor]), "c": numbers}
        data["b"] = np.resize(data["b"], 8)
        space.adapt(tf.data.Dataset.from_tensor_slices(data))
        return space

    source, target = make(1), make(-2)
    data = {
        "a": np.array([3.0], "float32"),
        "b": np.array(["b"]),
        "c": np.array([5.0], "float32"),
    }
    assert not np.array_equal(source(data), target(data))
    load(source, target)
    np.testing.assert_array_equal(source(data), target(data))


@pytest.mark.parametrize("token", ["a b", "a\nb", "x\u2028y", "\x85", " ", "é"])
def test_a_vocabulary_keeps_every_token(token: str) -> None:
    def make(words: list[str]) -> Any:
        lookup = L.StringLookup()
        lookup.adapt(np.array([words]))
        return lookup

    source, target = make([token, token, "b"]), make(["other"])
    load(source, target)
    assert target.get_vocabulary() == source.get_vocabulary() == ["[UNK]", token, "b"]


def test_tf_idf_is_kept() -> None:
    def make() -> Any:
        return L.TextVectorization(output_mode="tf_idf", max_tokens=9, pad_to_max_tokens=True)

    source, target = make(), make()
    words = np.array([["a b"], ["b c"], ["c b"]])
    source.adapt(words)
    load(source, target)
    np.testing.assert_array_equal(source(words), target(words))
    assert digest_of(source) == digest_of(target)


def test_a_layer_that_has_learnt_nothing_stays_so() -> None:
    for make in (L.StringLookup, lambda: L.Discretization(num_bins=2)):
        source, target = make(), make()
        load(source, target)
        assert digest_of(source) == digest_of(target)


def test_only_keras_own_layers_are_read_past_their_saving_methods() -> None:
    class Renamed(L.StringLookup):  # type: ignore[misc]
        pass

    class Saving(L.StringLookup):  # type: ignore[misc]
        def save_assets(self, directory: str) -> None:
            pass

    assert learnt_by(L.StringLookup()) is learnt_by(L.IntegerLookup()) is learnt_by(Renamed())
    assert learnt_by(L.StringLookup()) is not None
    assert learnt_by(L.Discretization(num_bins=2)) is not None
    assert learnt_by(L.TextVectorization()).read(None) == {}  # type: ignore[union-attr]
    assert learnt_by(Saving()) is None
    assert learnt_by(L.Dense(1)) is None


def test_a_vocabulary_that_is_not_stored_is_damage() -> None:
    layer = L.StringLookup(name="words")
    with pytest.raises(StateDamagedError, match="no vocabulary of 'words' is stored"):
        learnt_by(layer).write(layer, {})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options", [{"mask_token": "", "num_oov_indices": 3}, {"num_oov_indices": 0}]
)
def test_special_tokens_are_no_part_of_what_is_stored(options: Any) -> None:
    source, target = (L.StringLookup(**options) for _ in range(2))
    source.set_vocabulary(["b", "a"])
    arrays = learnt_by(source).read(source)  # type: ignore[union-attr]
    assert bytes(arrays["vocabulary"]) == b'["b", "a"]'
    learnt_by(target).write(target, arrays)  # type: ignore[union-attr]
    assert target.get_vocabulary() == source.get_vocabulary()
