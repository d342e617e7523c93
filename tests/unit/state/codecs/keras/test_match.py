"""Which stored array goes to which variable, and what is said where none does."""

from typing import Any

import keras
import numpy as np
import pytest

from fedstate.state import StateFitError
from fedstate.state.codecs.keras.match import Expected, match
from tests.unit.state.keras_models import L, everything, load, stack


def test_layers_that_the_user_named_are_never_swapped() -> None:
    source, target = stack(["dense_1", "dense_2"]), stack(["dense_2", "dense_1"])
    load(source, target)
    for name in ("dense_1", "dense_2"):
        kernels = [np.asarray(model.get_layer(name).kernel) for model in (source, target)]
        np.testing.assert_array_equal(kernels[0], kernels[1])
    for names in (["dense_5", "dense_6"], ["dense_2", "dense_3"], ["one", "two"]):
        other = stack(list(names))
        before = everything(other)
        with pytest.raises(StateFitError, match=r"stands where 'dense_1/kernel' is"):
            load(source, other)
        assert everything(other) == before


def test_a_variable_more_is_not_anothers_shape() -> None:
    source = keras.Sequential([keras.Input((3,)), L.Dense(2, use_bias=False), L.Dense(3)])
    target = keras.Sequential([keras.Input((3,)), L.Dense(2), L.Dense(3)])
    with pytest.raises(StateFitError, match=r"/bias' of shape \(2,\) in the model is not stored"):
        load(source, target)


def expect(**arrays: Any) -> list[Expected]:
    """Return variables by name; an array has the shape and dtype that a variable has."""
    names = {name: name.replace("__", "/") for name in arrays}
    return [Expected(names[n], f"shown {names[n]}", array) for n, array in arrays.items()]


TWO = np.zeros(2, "float32")


def test_names_that_are_equal_match_in_any_order() -> None:
    expected = expect(a__kernel=TWO, b__kernel=TWO)
    pairs = match({"b/kernel": TWO, "a/kernel": TWO}, expected)
    assert [(name, one.name) for name, one in pairs] == [
        *(("b/kernel", "b/kernel"), ("a/kernel", "a/kernel"))
    ]


@pytest.mark.parametrize(
    "counted", [(["dense"], []), ([], ["dense_1"]), (["dense"], ["dense_1"])]
)
def test_a_count_of_keras_is_passed_over_on_either_side(counted: Any) -> None:
    ((name, one),) = match({"dense/kernel": TWO}, expect(dense_1__kernel=TWO), counted)
    assert (name, one.name) == ("dense/kernel", "dense_1/kernel")


@pytest.mark.parametrize(
    ("stored", "expected", "counted", "sentence"),
    [
        (
            {"dense/kernel": TWO},
            expect(dense_1__kernel=TWO),
            ([], []),
            r"^'shown dense_1/kernel' in the model stands where 'dense/kernel' is stored",
        ),
        (
            {"dense/kernel": TWO},
            expect(dense_1__bias=TWO),
            (["dense"], ["dense_1"]),
            "stands where 'dense/kernel'",
        ),
        (
            {"dense/kernel": TWO},
            expect(conv_1__kernel=TWO),
            (["dense"], ["conv_1"]),
            "stands where 'dense/kernel'",
        ),
        (
            {"a/kernel": TWO, "b/kernel": TWO},
            expect(a__kernel=TWO),
            ([], []),
            r"^'b/kernel' of shape \(2,\) is stored, and the model has no such",
        ),
        (
            {"a/kernel": TWO},
            expect(a__kernel=TWO, b__kernel=TWO),
            ([], []),
            r"^'shown b/kernel' of shape \(2,\) in the model is not stored \(the model has 2",
        ),
        (
            {"dense/kernel": TWO, "dense_1/kernel": TWO},
            expect(dense_1__kernel=TWO, dense__kernel=TWO),
            (["dense"], []),
            "have names that Keras counted where the user named .* name them all",
        ),
        (
            {"a/kernel": TWO},
            expect(a__kernel=np.zeros(3, "float32")),
            ([], []),
            r"^'shown a/kernel' has shape \(3,\) in the model, and \(2,\) as stored$",
        ),
        (
            {"dense/kernel": TWO},
            expect(dense_1__kernel=np.zeros(3, "float32")),
            (["dense"], ["dense_1"]),
            r"and \(2,\) as stored \('dense/kernel'\)$",
        ),
        (
            {"a/kernel": TWO},
            expect(a__kernel=np.zeros(2, "int8")),
            ([], []),
            "has dtype int8 in the model, and float32 as stored$",
        ),
    ],
)
def test_what_does_not_match_is_named(
    stored: Any, expected: list[Expected], counted: Any, sentence: str
) -> None:
    with pytest.raises(StateFitError, match=sentence):
        match(stored, expected, counted)


def test_an_optimizers_names_may_lack_the_models_own() -> None:
    stored, expected = {"adam/net/a_momentum": TWO}, expect(adam__a_momentum=TWO)
    assert len(match(stored, expected, is_optimizer=True)) == 1
    with pytest.raises(StateFitError, match="stands where"):
        match(stored, expected)
    with pytest.raises(StateFitError, match=r"adam.* is stored, and the opt|in the optimizer"):
        match(stored, expect(sgd__a_momentum=TWO), whole="optimizer", is_optimizer=True)
