"""Models of every build, for the tests of what is stored of Keras."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from flwr.app import Context

from tests.unit.state.steps import make_context, sent, step

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


def stack(names: list[str | None], units: int = 3) -> Any:
    return keras.Sequential([keras.Input((3,)), *[L.Dense(units, name=name) for name in names]])


def nested() -> Any:
    def backbone(name: str) -> list[Any]:
        layers = [keras.Input((3,)), L.Dense(3), L.BatchNormalization(name="norm")]
        return [keras.Sequential(layers, name=name), L.Dense(3, name=f"{name}_out")]

    head = L.Dense(1, name="head")
    return keras.Sequential([keras.Input((3,)), *backbone("one"), *backbone("two"), head])


def is_norm(layer: Any) -> bool:
    return isinstance(layer, L.BatchNormalization)
