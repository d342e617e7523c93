"""Every optimizer of Keras: the next step after loading is the same to the bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fedstate.state import StateFitError
from tests.unit.state.steps import digest_of, make_context, sent, step

O = keras.optimizers  # noqa: E741
X = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
Y = np.ones((4, 1), "float32")


def several() -> Any:
    return O.MultiOptimizer(O.OptimizerMap(O.SGD(0.1, momentum=0.5), {".*bias": O.Adam(0.1)}))


MAKE: dict[str, Callable[[], Any]] = {
    **{
        name: partial(getattr(O, name), 0.1)
        for name in [
            "Adadelta",
            "Adafactor",
            "Adagrad",
            "Adam",
            "AdamW",
            "Adamax",
            "Ftrl",
            "Lamb",
            "Lion",
            "Muon",
            "Nadam",
            "RMSprop",
            "SGD",
            "ScheduleFreeAdamW",
        ]
    },
    "LossScaleOptimizer": lambda: O.LossScaleOptimizer(O.Adam(0.1)),
    "MultiOptimizer": several,
}
LEFT_OUT = {
    "Optimizer": "the base of all of them",
    "OptimizerMap": "no optimizer, but what a MultiOptimizer chooses by",
}
SCHEDULES: dict[str, Callable[[], Any]] = {
    "CosineDecay": lambda: O.schedules.CosineDecay(0.1, 9, warmup_target=0.3, warmup_steps=2),
    "CosineDecayRestarts": lambda: O.schedules.CosineDecayRestarts(0.1, 2),
    "ExponentialDecay": lambda: O.schedules.ExponentialDecay(0.1, 2, 0.5),
    "InverseTimeDecay": lambda: O.schedules.InverseTimeDecay(0.1, 2, 0.5),
    "PiecewiseConstantDecay": lambda: O.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
    "PolynomialDecay": lambda: O.schedules.PolynomialDecay(0.1, 9),
}


def on_schedule(name: str) -> Any:
    return O.Adam(SCHEDULES[name]())


OPTIONS: dict[str, Callable[[], Any]] = {
    **{f"Adam on {n}": partial(on_schedule, n) for n in SCHEDULES},
    "Nadam on a schedule": lambda: O.Nadam(SCHEDULES["ExponentialDecay"]()),
    "amsgrad": lambda: O.Adam(0.1, amsgrad=True),
    "EMA": lambda: O.Adam(0.1, use_ema=True, ema_overwrite_frequency=2),
    "accumulation": lambda: O.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3),
    "centered": lambda: O.RMSprop(0.1, momentum=0.9, centered=True),
    "scaled with EMA": lambda: O.LossScaleOptimizer(O.SGD(0.1, use_ema=True)),
}


def test_every_class_is_tested_or_left_out_with_a_reason() -> None:
    """A release of Keras that adds an optimizer or a schedule fails here until it has a case."""
    assert {n for n in dir(O) if isinstance(getattr(O, n), type)} == set(MAKE) | set(LEFT_OUT)
    schedules = {n for n in dir(O.schedules) if isinstance(getattr(O.schedules, n), type)}
    assert schedules == set(SCHEDULES) | {"LearningRateSchedule"}  # the base


def make_model(optimizer: Any, policy: str = "float32") -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="first", dtype=policy),
            layers.Dense(4, dtype=policy),
            layers.Dense(1, dtype=policy),
        ]
    )
    if policy == "mixed_float16":  # what compile does where this is the process's policy
        optimizer = O.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


def same(one: list[Any], other: list[Any]) -> bool:
    return [np.asarray(a).tobytes() for a in one] == [np.asarray(a).tobytes() for a in other]


def carried(source: Any, into: Any) -> None:
    context = make_context()
    with step(context) as state:
        state["model"], state["optimizer"] = source, source.optimizer
    with step(sent(context)) as state:
        state.load("model", into=into)
        state.load("optimizer", into=into)


def assert_goes_on_the_same(source: Any, target: Any) -> None:
    for _ in range(3):
        assert same(source.optimizer.variables, target.optimizer.variables)
        assert digest_of(source.optimizer) == digest_of(target.optimizer)
        for model in (source, target):
            model.train_on_batch(X, Y)
        assert same(source.get_weights(), target.get_weights())


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", [*MAKE, *OPTIONS])
def test_the_next_step_is_the_same(name: str, steps: int) -> None:
    make = (MAKE | OPTIONS)[name]
    source, target = make_model(make()), make_model(make())
    for _ in range(steps):
        source.train_on_batch(X, Y)
    carried(source, into=target)
    assert target.optimizer.built is (steps > 0)
    assert_goes_on_the_same(source, target)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_every_policy_goes_on(policy: str) -> None:
    source, target = (make_model(O.Adam(0.1), policy) for _ in range(2))
    source.train_on_batch(X, Y)
    carried(source, into=target)
    assert_goes_on_the_same(source, target)


def test_the_policy_of_the_process_scales_the_loss() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        models = [
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dense(1)])
            for _ in range(2)
        ]
        for model in models:
            model.compile("adam", "mse", run_eagerly=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert isinstance(models[0].optimizer, O.LossScaleOptimizer)
    models[0].train_on_batch(X, Y)
    carried(models[0], into=models[1])
    assert_goes_on_the_same(*models)


def held(optimizer: Any) -> Any:
    context = make_context()
    with step(context) as state:
        state["optimizer"] = optimizer
    return sent(context)


def trained(optimizer: Any) -> Any:
    model = make_model(optimizer)
    model.train_on_batch(X, Y)
    return model


def test_one_without_steps_goes_into_one_without_steps() -> None:
    context = held(O.Adam(0.25))
    alone, used = O.Adam(0.5), trained(O.Adam(0.1))
    with step(context) as state:
        state.load("optimizer", into=alone)
        with pytest.raises(StateFitError, match="before the optimizer's first step, and 'adam"):
            state.load("optimizer", into=used)
    assert float(alone.learning_rate) == 0.25
    assert not alone.built


@pytest.mark.parametrize("name", ["Adam", "LossScaleOptimizer", "MultiOptimizer", "Nadam"])
def test_a_load_that_fails_does_not_build(name: str) -> None:
    context, target = held(trained(MAKE[name]()).optimizer), make_model(MAKE[name]())
    target.pop()  # a layer less: the moments of one are left over
    target.compile(MAKE[name](), "mse", run_eagerly=True)
    optimizer = target.optimizer
    before = [np.asarray(v) for v in optimizer.variables]
    attributes = {key: str(value) for key, value in vars(optimizer).items()}
    with step(context) as state, pytest.raises(StateFitError, match="has no such variable"):
        state.load("optimizer", into=target)
    assert not optimizer.built
    assert same(optimizer.variables, before)
    assert {key: str(value) for key, value in vars(optimizer).items()} == attributes
    target.fit(X, np.ones((4, 4)), verbose=0)  # goes on as if nothing had been


def test_moments_follow_the_names_that_the_user_gave() -> None:
    def make(names: list[str]) -> Any:
        dense = [keras.layers.Dense(4, name=name) for name in names]
        model = keras.Sequential([keras.Input((4,), name="x"), *dense], name="net")
        model.compile(O.Adam(0.1), "mse", run_eagerly=True)
        return model

    source, target = make(["dense_1", "dense_2"]), make(["dense_2", "dense_1"])
    source.train_on_batch(X, X)
    with step(held(source.optimizer)) as state:
        state.load("optimizer", into=target)
    moments = {v.name: np.asarray(v) for v in target.optimizer.variables}
    for variable in source.optimizer.variables:
        np.testing.assert_array_equal(moments[variable.name], np.asarray(variable))


def test_a_model_without_variables_is_named_as_not_built() -> None:
    target = keras.Sequential([keras.layers.Dense(1)])
    target.compile("adam", "mse")
    with (
        step(held(trained(O.Adam()).optimizer)) as state,
        pytest.raises(StateFitError, match="is not built yet"),
    ):
        state.load("optimizer", into=target)
    assert not target.optimizer.built


def test_an_optimizer_goes_into_that_of_a_model_from_a_file_and_back(tmp_path: Path) -> None:
    source, target = trained(O.Adam(0.1)), make_model(O.Adam(0.1))
    source.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    carried(source, into=read)
    assert same(read.optimizer.variables, source.optimizer.variables)
    carried(read, into=target)
    assert same(target.optimizer.variables, source.optimizer.variables)
