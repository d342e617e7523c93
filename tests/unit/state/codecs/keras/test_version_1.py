"""What fedstate 0.1.0 stored of Keras models and optimizers is still read."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flwr.app import Context

from fedstate.flower.contexts import context_from_bytes
from fedstate.state import StateFitError, check_state, weights_of
from tests.unit.state.steps import sent, step

DATA = Path(__file__).parents[4] / "data" / "state-0.1.0-keras"


def load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("state_0_1_0_keras", DATA / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = load_maker()


@pytest.fixture
def context() -> Context:
    return context_from_bytes((DATA / "context.bin").read_bytes())


@pytest.fixture
def expected() -> Any:
    return np.load(DATA / "expected.npz")


def weights(expected: Any) -> list[Any]:
    return [expected[f"arr_{i}"] for i in range(len(expected.files) - 1)]


def assert_same(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_a_model_predicts_as_it_did(context: Context, expected: Any) -> None:
    assert check_state(context.state) is not None
    target = maker.make_model()
    with step(context) as state:
        state.load("weights", into=target)
        assert_same(list(state["weights"].values()), weights(expected))
    assert_same(target.get_weights(), weights(expected))
    np.testing.assert_allclose(target(maker.INPUTS), expected["prediction"], rtol=1e-5)


def test_parts_go_to_their_places(context: Context, expected: Any) -> None:
    whole = weights(expected)
    target = maker.make_model()
    before = target.get_weights()
    with step(context) as state:
        state.load("head", into=target)
        state.load("second", into=weights_of(target, lambda layer: layer is target.layers[4]))
    assert_same(target.get_weights()[-4:], whole[-4:])
    assert_same(target.get_weights()[:-4], before[:-4])


def test_the_optimizer_goes_on(context: Context) -> None:
    source, target = maker.make_trained(), maker.make_model()
    with step(context) as state:
        state.load("optimizer", into=target)
    assert_same(target.optimizer.variables, source.optimizer.variables)


def test_what_was_read_is_still_what_version_1_stored(context: Context, expected: Any) -> None:
    with step(context) as state:
        state["copy"] = state["weights"]
        state["head"]["head/bias"] += 1
    target = maker.make_model()
    with step(sent(context)) as state:
        state.load("copy", into=target)
        assert_same(target.get_weights(), weights(expected))
        state.load("head", into=target)
    assert_same(target.get_weights()[-1:], [weights(expected)[-1] + 1])


def test_what_does_not_fit_is_still_refused(context: Context) -> None:
    other = maker.keras.Sequential([maker.keras.Input((4,)), maker.keras.layers.Dense(1)])
    before = other.get_weights()
    with step(context) as state:
        with pytest.raises(StateFitError, match="and the model has no such"):
            state.load("weights", into=other)
        with pytest.raises(StateFitError, match="part of a model with"):
            state.load("head", into=other)
    assert_same(other.get_weights(), before)
