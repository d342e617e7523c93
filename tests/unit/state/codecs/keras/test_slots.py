"""The variables of an optimizer by names that are the same in any process."""

from typing import Any

import keras
import pytest

from fedstate.state.codecs.keras.slots import Slots, optimizers_in
from tests.unit.state.keras_models import stack

O = keras.optimizers  # noqa: E741


@pytest.fixture
def models() -> list[Any]:
    """Keep models alive: names are those of layers that are there."""
    return []


def built(optimizer: Any, names: list[str | None], models: list[Any]) -> Any:
    models.append(stack(names))
    optimizer.build(models[-1].trainable_variables)
    return optimizer


def test_names_say_what_a_variable_is_for(models: list[Any]) -> None:
    slots = Slots.of(built(O.SGD(0.1, momentum=0.5), [None, "mine", None], models))
    ends = [one.name.removeprefix("sgd/").split("/")[-2:] for one in slots.expected]
    assert ends == [
        *(["iteration"], ["learning_rate"], ["dense", "kernel_momentum"]),
        *(["dense", "bias_momentum"], ["mine", "kernel_momentum"], ["mine", "bias_momentum"]),
        *(["dense_1", "kernel_momentum"], ["dense_1", "bias_momentum"]),
    ]
    assert {path.rpartition("/")[2] for path in slots.counted} >= {"dense", "dense_1"}
    assert not any(path.endswith("mine") for path in slots.counted)


def test_the_variables_are_those_of_the_optimizer_each_once_in_its_order(
    models: list[Any],
) -> None:
    for optimizer in (
        O.Adam(0.1, amsgrad=True),
        O.LossScaleOptimizer(O.Adam(0.1)),
        O.MultiOptimizer(O.OptimizerMap(O.SGD(0.1), {".*bias": O.Adam(0.1)})),
    ):
        built(optimizer, [None, "mine"], models)
        slots = Slots.of(optimizer)
        assert [id(one.variable) for one in slots.expected] == [
            id(variable) for variable in optimizer.variables
        ]
        names = [one.name for one in slots.expected]
        assert len(set(names)) == len(names)
        again = Slots.of(
            built(type(optimizer).from_config(optimizer.get_config()), [None, "mine"], models)
        )
        assert [one.name for one in again.expected] == names


def test_optimizers_inside_of_others_are_found() -> None:
    inner = O.Adam(0.1)
    scaled = O.LossScaleOptimizer(inner)
    assert optimizers_in(inner) == [inner]
    assert optimizers_in(scaled) == [scaled, inner]


def test_a_name_that_begins_like_anothers_moment_is_its_own(models: list[Any]) -> None:
    slots = Slots.of(built(O.SGD(0.1, momentum=0.5), ["a", "a_kernel"], models))
    assert [one.name.split("/")[-2:] for one in slots.expected[2:]] == [
        *(["a", "kernel_momentum"], ["a", "bias_momentum"]),
        *(["a_kernel", "kernel_momentum"], ["a_kernel", "bias_momentum"]),
    ]
