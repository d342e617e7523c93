"""Keras models, parts of them, and optimizers."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from flwr.app import Context

from fedstate.state import StateFitError, StateTypeError, weights_of
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read


def make_model(units: int = 4, head: int = 3, dtype: str = "float32") -> Any:
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(units, activation="relu", dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Dense(units, dtype=dtype),
            keras.layers.Dense(head, name="head", dtype=dtype),
        ]
    )


def trained(model: Any) -> Any:
    model.compile(keras.optimizers.Adam(0.01), "mse")
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(32, 5)).astype("float32")
    model.fit(inputs, generator.normal(size=(32, model.output_shape[1])), epochs=1, verbose=0)
    return model


def remember(**values: Any) -> Context:
    context = make_context()
    with step(context) as state:
        state.update(values)
    return sent(context)


def assert_same(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def unchanged(model: Any) -> Callable[[], None]:
    before = [w.copy() for w in model.get_weights()]
    return lambda: assert_same(model.get_weights(), before)


@pytest.fixture(scope="module")
def model() -> Any:
    return trained(make_model())


def test_weights_go_from_model_to_model(model: Any) -> None:
    context, other = remember(weights=model), make_model()
    assert [w.path for w in model.weights] != [w.path for w in other.weights], "numbered anew"
    with step(context) as state:
        state.load("weights", into=other)
    assert_same(other.get_weights(), model.get_weights())


def test_weights_can_be_read_and_changed(model: Any) -> None:
    context, other = remember(weights=model), make_model()
    with step(context) as state:
        assert list(state["weights"])[-2:] == ["head/kernel", "head/bias"]
        state["weights"]["head/bias"] += 1
        state.load("weights", into=other)
    with step(sent(context)) as state:
        again = make_model()
        state.load("weights", into=again)
    for changed in (other, again):
        assert_same(changed.get_weights()[:-1], model.get_weights()[:-1])
        assert_same(changed.get_weights()[-1:], [model.get_weights()[-1] + 1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_keep_their_precision(dtype: str) -> None:
    source, target = make_model(dtype=dtype), make_model(dtype=dtype)
    with step(remember(weights=source)) as state:
        state.load("weights", into=target)
        assert str(state["weights"]["head/kernel"].dtype) == dtype
    assert_same(target.get_weights(), source.get_weights())


@pytest.mark.parametrize(
    "layers", [["head"], "head", lambda layer: layer.name == "head"], ids=["list", "name", "test"]
)
def test_a_part_stays_with_the_client(model: Any, layers: Any) -> None:
    context, other = remember(head=weights_of(model, layers)), make_model()
    others = other.get_weights()
    with step(context) as state:
        assert list(state["head"]) == ["head/kernel", "head/bias"]
        state.load("head", into=other)
    assert_same(other.get_weights()[-2:], model.get_weights()[-2:])
    assert_same(other.get_weights()[:-2], others[:-2])


def test_a_part_goes_to_its_place_whatever_its_layers_are_called() -> None:
    """The second ``dense`` of one model may have the name of the first of the next."""
    source = make_model(units=5)
    second = weights_of(source, lambda layer: layer is source.layers[2])
    context, target = remember(part=second), make_model(units=5)
    first = target.get_weights()[0]
    with step(context) as state:
        state.load("part", into=target)
    assert_same(target.get_weights()[:1], [first])
    assert_same(target.get_weights()[6:8], source.get_weights()[6:8])


def test_a_part_that_was_read_can_be_stored_and_loaded(model: Any) -> None:
    context, other = remember(head=weights_of(model, ["head"])), make_model()
    with step(context) as state:
        state["copy"] = state["head"]
        state.load("copy", into=other)
    assert_same(other.get_weights()[-2:], model.get_weights()[-2:])


def test_a_part_goes_into_a_part_of_another_model(model: Any) -> None:
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")])
    with step(remember(head=weights_of(model, ["head"]))) as state:
        with pytest.raises(StateFitError, match="it is part of a model with 10 variables"):
            state.load("head", into=other)
        state.load("head", into=weights_of(other, ["head"]))
    assert_same(other.get_weights(), model.get_weights()[-2:])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            lambda: make_model(head=2),
            r"'head/kernel' has shape \(4, 2\) in the model, and \(4, 3\) as stored",
        ),
        (
            lambda: make_model(dtype="float16"),
            "kernel' has dtype float16 in the model, and float32",
        ),
        (
            lambda: keras.Sequential(make_model().layers[:3]),
            r"'head/kernel' of shape \(4, 3\) is stored, and the model has no such variable",
        ),
        (
            lambda: keras.Sequential([*make_model().layers, keras.layers.Dense(2, name="more")]),
            r"'more/kernel' of shape \(3, 2\) in the model is not stored",
        ),
        (
            lambda: keras.Sequential(
                [*make_model().layers[:-1], keras.layers.Dense(3, name="tail")]
            ),
            "'tail/kernel' in the model stands where 'head/kernel' is stored",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    model: Any, other: Callable[[], Any], sentence: str
) -> None:
    context, target = remember(weights=model), other()
    target.build((None, 5))
    check = unchanged(target)
    with (
        step(context) as state,
        pytest.raises(StateFitError, match=f"^State value 'weights': .*{sentence}"),
    ):
        state.load("weights", into=target)
    check()


def test_the_optimizer_goes_on_where_it_stopped(model: Any) -> None:
    context, other = remember(optimizer=model.optimizer, weights=model), make_model()
    other.compile(keras.optimizers.Adam(0.5), "mse")
    with step(context) as state:
        state.load("weights", into=other)
        state.load("optimizer", into=other)
    assert_same(other.optimizer.variables, model.optimizer.variables)
    assert int(other.optimizer.iterations) == 1
    trained_on = [trained_again(m) for m in (model, other)]
    assert_same(*trained_on)


def trained_again(model: Any) -> list[Any]:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile(keras.optimizers.Adam(0.01), "mse")
    copy.optimizer.build(copy.trainable_variables)
    for target, source in zip(copy.optimizer.variables, model.optimizer.variables, strict=True):
        target.assign(source)
    copy.train_on_batch(np.ones((4, 5), "float32"), np.ones((4, 3), "float32"))
    return [np.asarray(w) for w in copy.get_weights()]


def test_an_optimizer_must_fit_and_be_built(model: Any) -> None:
    context = remember(optimizer=model.optimizer)
    with step(context) as state:
        with pytest.raises(StateFitError, match="is not built; load into the model"):
            state.load("optimizer", into=keras.optimizers.Adam())
        with pytest.raises(StateFitError, match="has no optimizer; compile it first"):
            state.load("optimizer", into=make_model())
        sgd = make_model()
        sgd.compile(keras.optimizers.SGD(), "mse")
        with pytest.raises(
            StateFitError, match=r"/iteration' in the model stands where 'adam/iteration' is"
        ):
            state.load("optimizer", into=sgd)
        built = keras.optimizers.Adam()
        built.build(make_model().trainable_variables)
        state.load("optimizer", into=built)
        assert int(built.iterations) == 1
        state["copy"] = state["optimizer"]
        assert list(state["copy"]) == list(state["optimizer"])


def test_equal_models_have_equal_digests_whatever_number_keras_gave_them() -> None:
    def make() -> Any:
        inner = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(3), keras.layers.Dense(3)]
        )
        layers = [keras.layers.Dense(3, name="block_7"), keras.layers.Dense(3), inner]
        made = trained(keras.Sequential([keras.Input((5,)), *layers]))
        for number, variable in enumerate([*made.weights, *made.optimizer.variables]):
            variable.assign(np.full(variable.shape, number))
        return made

    one, other = make(), make()
    assert [w.path for w in one.weights] != [w.path for w in other.weights]
    assert digest_of(one) == digest_of(other)
    assert digest_of(one.optimizer) == digest_of(other.optimizer)
    assert list(stored_and_read(other))[::2] == [
        *("block_7/kernel", "dense/kernel"),
        *("sequential/dense/kernel", "sequential/dense_1/kernel"),
    ]


def test_the_digest_is_of_the_weights(model: Any) -> None:
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    assert digest_of(weights_of(twin, ["head"])) == digest_of(weights_of(model, ["head"]))
    assert digest_of(weights_of(make_model(), ["head"])) != digest_of(weights_of(model, ["head"]))


def test_mistakes_are_named(model: Any) -> None:
    with pytest.raises(StateTypeError, match="has no layer 'tail'; its layers are dense"):
        weights_of(model, ["tail"])
    with pytest.raises(StateTypeError, match="No layer with weights was chosen"):
        weights_of(model, lambda _: False)
    with pytest.raises(StateTypeError, match="has no weights; build it first"):
        stored_and_read(keras.Sequential([keras.layers.Dense(2)]))
    with step(remember(weights=model, number=3)) as state:
        with pytest.raises(StateFitError, match=r"'weights': it was stored as 'keras.weights'"):
            state.load("weights", into=object())
        with pytest.raises(StateFitError, match="'number': it was stored as 'scalar'"):
            state.load("number", into=model)
        with pytest.raises(KeyError, match="no value 'none'"):
            state.load("none", into=model)
        assert keras.Sequential not in {type(value) for value in state.values()}
