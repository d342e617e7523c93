"""Every layer class of Keras: stored, carried as Flower does, loaded into a fresh model."""

from typing import Any

import keras
import numpy as np
import pytest

from tests.unit.state.keras_layers import LAYERS, LEFT_OUT, classes, fed, model_of
from tests.unit.state.steps import digest_of, make_context, sent, step

TARGETS = np.ones((2, 1), "float32")


def test_every_class_is_tested_or_left_out_with_a_reason() -> None:
    """A release of Keras that adds a layer fails here until the layer has a case."""
    assert set(classes()) == set(LAYERS) | set(LEFT_OUT)
    assert not set(LAYERS) & set(LEFT_OUT)


def carried(model: Any, into: Any) -> None:
    context = make_context()
    with step(context) as state:
        state["model"] = model
        state["optimizer"] = model.optimizer
    with step(sent(context)) as state:
        state.load("model", into=into)
        state.load("optimizer", into=into)


def same(one: Any, other: Any) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def called(model: Any, data: Any, **options: Any) -> Any:
    """Return what a model predicts; the process's own random numbers are not the model's."""
    keras.utils.set_random_seed(1)
    return model(data, **options)


def assert_goes_on_the_same(source: Any, target: Any, data: Any, is_trained: bool = True) -> None:
    """Predictions, a step in training mode, and the digests of both: equal to the bit.

    What a layer gives in training mode shows in what the layers after it learn from it.
    """
    assert digest_of(target) == digest_of(source)
    assert digest_of(target.optimizer) == digest_of(source.optimizer)
    assert same(*(called(model, data) for model in (source, target)))
    if is_trained:
        for model in (source, target):
            keras.utils.set_random_seed(1)
            model.train_on_batch(data, TARGETS)
    else:
        assert same(*(called(model, data, training=True) for model in (source, target)))
    assert digest_of(target) == digest_of(source)
    assert digest_of(target.optimizer) == digest_of(source.optimizer)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_as_it_was(name: str) -> None:
    case = LAYERS[name]
    source, target, data = model_of(case), model_of(case), fed(case)
    if case.adapt_to is not None:
        next(x for x in source.layers if hasattr(x, "adapt")).adapt(case.adapt_to)
    source.train_on_batch(data, TARGETS)
    carried(source, into=target)
    assert_goes_on_the_same(source, target, data)


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "SimpleRNN"])
def test_a_stateful_layer_goes_on_where_it_stopped(kind: str) -> None:
    def make() -> Any:
        layer = getattr(keras.layers, kind)(3, stateful=True)
        inputs = keras.Input(batch_shape=(2, 6, 4))
        model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
        model.compile("adam", "mse", run_eagerly=True)
        return model

    source, target = make(), make()
    data = LAYERS["LSTM"].inputs[0]
    source.train_on_batch(data, TARGETS)
    carried(source, into=target)
    assert_goes_on_the_same(source, target, data)


POLICIES: dict[str, Any] = {
    **{
        name: lambda name=name: keras.dtype_policies.DTypePolicy(name)
        for name in ("float32", "float64", "float16", "bfloat16")
    },
    "mixed_float16": lambda: keras.dtype_policies.DTypePolicy("mixed_float16"),
    "mixed_bfloat16": lambda: keras.dtype_policies.DTypePolicy("mixed_bfloat16"),
    "int8": lambda: keras.dtype_policies.QuantizedDTypePolicy("int8", "float32"),
    "int4": lambda: keras.dtype_policies.Int4DTypePolicy("int4/-1", "float32"),
    "float8": lambda: keras.dtype_policies.QuantizedFloat8DTypePolicy("float8", "float32"),
    "gptq": lambda: keras.dtype_policies.GPTQDTypePolicy("gptq/4/-1", "float32"),
    "awq": lambda: keras.dtype_policies.AWQDTypePolicy("awq/4/-1", "float32"),
    "map": lambda: keras.dtype_policies.DTypePolicyMap(
        default_policy="float32", policy_map={"a": keras.dtype_policies.DTypePolicy("bfloat16")}
    ),
}
POLICY_CLASSES = {
    "AWQDTypePolicy": "awq",
    "DTypePolicy": "float32",
    "DTypePolicyMap": "map",
    "FloatDTypePolicy": "mixed_float16",
    "GPTQDTypePolicy": "gptq",
    "Int4DTypePolicy": "int4",
    "QuantizedDTypePolicy": "int8",
    "QuantizedFloat8DTypePolicy": "float8",
}


def test_every_policy_is_tested() -> None:
    kinds = {n for n in dir(keras.dtype_policies) if n.endswith(("Policy", "PolicyMap"))}
    assert kinds == set(POLICY_CLASSES)
    assert set(POLICY_CLASSES.values()) <= set(POLICIES)
    from keras.src.dtype_policies import QUANTIZATION_MODES

    assert set(QUANTIZATION_MODES) <= set(POLICIES)


def quantized(policy: str, lora: bool = False) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="a", dtype=POLICIES[policy]()),
            layers.Dense(1, name="head"),
        ]
    )
    if lora:
        model.layers[0].enable_lora(2)
        model.layers[0].lora_kernel_b.assign(np.random.default_rng().normal(size=(2, 4)))
    model.compile("adam", "mse", run_eagerly=True)
    return model


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_keeps_its_bits(policy: str) -> None:
    source, target = quantized(policy), quantized(policy)
    numbers = np.random.default_rng(0)
    for variable in source.weights:
        # Indices of groups, of which there is one here.
        values = numbers.uniform(1, 3, size=variable.shape) * (variable.name != "g_idx")
        variable.assign(keras.ops.cast(values, variable.dtype))
    if policy in ("gptq", "awq"):  # As calibrating leaves them.
        setattr(source.layers[0], f"is_{policy}_calibrated", True)
    data = np.ones((2, 4), "float32")
    is_trained = policy not in ("float8", "gptq", "awq")  # which Keras does not train here
    if is_trained:
        source.train_on_batch(data, TARGETS)
    carried(source, into=target)
    assert_goes_on_the_same(source, target, data, is_trained)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "int8", "int4"])
def test_adapters_stay_apart_from_the_kernel(policy: str) -> None:
    source, target = quantized(policy, lora=True), quantized(policy, lora=True)
    data = np.ones((2, 4), "float32")
    source.train_on_batch(data, TARGETS)
    carried(source, into=target)
    assert_goes_on_the_same(source, target, data)
    assert same(source.layers[0].lora_kernel_a, target.layers[0].lora_kernel_a)
    assert np.any(np.asarray(target.layers[0].lora_kernel_b))
