"""Models of every build: nested, shared, subclassed, with saving methods of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from flwr.app import Context
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.state import StateFitError, StateTypeError, weights_of
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read

L = keras.layers
X = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")


def remember(**values: Any) -> Context:
    context = make_context()
    with step(context) as state:
        state.update(values)
    return sent(context)


def load(value: Any, into: Any) -> None:
    with step(remember(value=value)) as state:
        state.load("value", into=into)


def everything(model: Any) -> list[bytes]:
    return [np.asarray(v).tobytes() for v in model.variables]


class Keeper(keras.layers.Layer):  # type: ignore[misc]
    """A layer that saves more than its variables, and files."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[int] = []
        self.text = ""
        self.doubled: Any = None

    def build(self, _: Any) -> None:
        self.scale = self.add_weight(shape=(1,), name="scale")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["seen"] = np.array(self.seen, "int64")

    def load_own_variables(self, store: Any) -> None:
        self.seen = store["seen"].tolist()
        super().load_own_variables({"0": store["0"]})
        self.doubled = np.asarray(self.scale) * 2

    def save_assets(self, directory: str) -> None:
        (Path(directory) / "text.txt").write_text(self.text)

    def load_assets(self, directory: str) -> None:
        self.text = (Path(directory) / "text.txt").read_text()
        if self.text == "refuse":
            raise ValueError("this text is refused")


class Block(keras.layers.Layer):  # type: ignore[misc]
    """Layers in attributes, lists and dictionaries, and weights of its own."""

    def __init__(self, inner: list[Any], **options: Any) -> None:
        super().__init__(**options)
        self.some = inner[::2]
        self.others = {str(i): layer for i, layer in enumerate(inner[1::2])}

    def build(self, shape: Any) -> None:
        self.bias = self.add_weight(shape=(3,), name="bias", initializer="random_normal")
        for layer in [*self.some, *self.others.values()]:
            layer.build(shape)

    def call(self, inputs: Any) -> Any:
        for layer in [*self.some, *self.others.values()]:
            inputs = layer(inputs)
        return inputs + self.bias


class Net(keras.Model):  # type: ignore[misc]
    def __init__(self, inner: list[Any], **options: Any) -> None:
        super().__init__(**options)
        self.block = Block(inner)
        self.keeper = Keeper()
        self.gain = self.add_weight(shape=(), name="gain", initializer="random_normal")
        self.drop = L.Dropout(0.5)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.drop(self.keeper(self.block(inputs)), training=training) * self.gain


def net() -> Any:
    model = Net([L.Dense(3), L.LayerNormalization(), L.Dense(3), L.Dense(3, name="dense_7")])
    model(X)
    for variable in model.weights:
        variable.assign(np.random.default_rng().normal(size=variable.shape))
    return model


def test_a_subclassed_model_comes_back_whole() -> None:
    source, target = net(), net()
    source.keeper.seen, source.keeper.text = [1, 2], "a\nb"
    load(source, target)
    assert everything(target) == everything(source)
    assert (target.keeper.seen, target.keeper.text) == ([1, 2], "a\nb")
    np.testing.assert_array_equal(target.keeper.doubled, np.asarray(source.keeper.scale) * 2)
    assert digest_of(target) == digest_of(source)
    assert list(stored_and_read(source))[:3] == ["gain", "block/bias", "block/dense/kernel"]


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


def test_a_load_that_fails_leaves_everything_as_it_was() -> None:
    source, target = net(), net()
    source.keeper.text, target.keeper.seen = "refuse", [5]
    before, attributes = everything(target), dict(vars(target.keeper))
    with (
        step(remember(model=source)) as state,
        pytest.raises(StateFitError, match=r"'keeper' does not take .* this text is refused"),
    ):
        state.load("model", into=target)
    assert everything(target) == before
    assert vars(target.keeper) == attributes
    assert target.keeper.seen == [5]


def stack(names: list[str | None], units: int = 3) -> Any:
    return keras.Sequential([keras.Input((3,)), *[L.Dense(units, name=name) for name in names]])


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


def test_a_variable_more_is_not_anothers_shape() -> None:
    source = keras.Sequential([keras.Input((3,)), L.Dense(2, use_bias=False), L.Dense(3)])
    target = keras.Sequential([keras.Input((3,)), L.Dense(2), L.Dense(3)])
    with pytest.raises(StateFitError, match=r"/bias' of shape \(2,\) in the model is not stored"):
        load(source, target)


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


def nested() -> Any:
    def backbone(name: str) -> list[Any]:
        layers = [keras.Input((3,)), L.Dense(3), L.BatchNormalization(name="norm")]
        return [keras.Sequential(layers, name=name), L.Dense(3, name=f"{name}_out")]

    head = L.Dense(1, name="head")
    return keras.Sequential([keras.Input((3,)), *backbone("one"), *backbone("two"), head])


def is_norm(layer: Any) -> bool:
    return isinstance(layer, L.BatchNormalization)


@pytest.mark.parametrize(
    ("choice", "begins"),
    [
        (is_norm, ["one/norm", "two/norm"]),
        (["two"], ["two/dense", "two/norm"]),
        (["two/norm"], ["two/norm"]),
        (["head", "one/norm"], ["one/norm", "head"]),
        (["head/kernel"], ["head"]),
        (lambda layer: layer.name == "one", ["one/dense", "one/norm"]),
    ],
)
def test_a_part_may_lie_at_any_depth(choice: Any, begins: list[str]) -> None:
    source, target = nested(), nested()
    names = list(weights_of(source, choice).variables())
    assert list(dict.fromkeys(name.rpartition("/")[0] for name in names)) == begins
    others = {id(v) for v in weights_of(target, choice).variables().values()}
    kept = [np.asarray(v) for v in target.weights if id(v) not in others]
    for variable in source.weights:
        variable.assign(np.random.default_rng().uniform(size=variable.shape))
    load(weights_of(source, choice), target)
    for now, before in zip([v for v in target.weights if id(v) not in others], kept, strict=True):
        np.testing.assert_array_equal(np.asarray(now), before)
    chosen = weights_of(target, choice).variables()
    for name, variable in weights_of(source, choice).variables().items():
        np.testing.assert_array_equal(np.asarray(chosen[name]), np.asarray(variable))


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (["norm"], "has 2 layers 'norm': one/norm, two/norm; give the path"),
        (["tail"], "has no layer 'tail'; its layers are one, one/dense"),
        (lambda _: False, "No layer with weights was chosen"),
        (lambda layer: not is_norm(layer), "chooses the layer 'one' .* and not 'one/norm'"),
    ],
)
def test_a_choice_that_leaves_something_out_says_so(choice: Any, sentence: str) -> None:
    with pytest.raises(StateTypeError, match=sentence):
        weights_of(nested(), choice)


def test_adapters_alone_can_be_kept() -> None:
    def make() -> Any:
        model = stack(["a", "b"])
        for layer in model.layers:
            layer.enable_lora(2)
        return model

    def is_adapter(variable: Any) -> bool:
        return str(variable.name).startswith("lora")

    source, target = make(), make()
    source.layers[1].lora_kernel_b.assign(np.ones((2, 3)))
    kernel = np.asarray(target.layers[1]._kernel)
    load(weights_of(source, variables=is_adapter), target)
    np.testing.assert_array_equal(np.asarray(target.layers[1].lora_kernel_b), np.ones((2, 3)))
    np.testing.assert_array_equal(np.asarray(target.layers[1]._kernel), kernel)
    assert list(weights_of(source, variables=["lora_kernel_a"]).variables()) == [
        *("a/lora_kernel_a", "b/lora_kernel_a")
    ]
    with pytest.raises(StateTypeError, match="has no variable 'lora_c'; its variables are a/"):
        weights_of(source, variables=["lora_c"])


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


@settings(max_examples=30)
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
