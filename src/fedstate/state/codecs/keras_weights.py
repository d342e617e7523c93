"""Keras weights: of a whole model, or of the layers that are to stay with the client."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.named import Expected, check_fit, decode_named, encode_named
from fedstate.state.errors import StateDamagedError, StateFitError, StateTypeError

Layers = Iterable[str] | Callable[[Any], bool]


class Weights(dict[str, "NDArray[Any]"]):
    """Weights as arrays by variable (``"conv2d/kernel"``), in the model's order.

    Attributes
    ----------
    place : dict[str, Any]
        Where they were in the model, if they are a part of one.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], place: dict[str, Any]) -> None:
        super().__init__(arrays)
        self.place = place


@dataclass(frozen=True)
class Part:
    """Some layers of a Keras model; made by `weights_of`."""

    model: Any
    layers: tuple[Any, ...]

    def variables(self) -> dict[str, Any]:
        """Return the layers' weights by name."""
        own = {id(weight) for layer in self.layers for weight in layer.weights}
        every = variables_of(self.model)
        return {name: variable for name, variable in every.items() if id(variable) in own}

    def place(self) -> dict[str, Any]:
        """Return where the part's variables are among all of the model's."""
        names = list(variables_of(self.model))
        return {"positions": [names.index(n) for n in self.variables()], "total": len(names)}


def weights_of(model: Any, layers: Layers) -> Part:
    """Return a part of a Keras model, to be stored or loaded in place of the whole.

    Parameters
    ----------
    model : keras.Model
        The model.
    layers : Iterable[str] | Callable[[keras.Layer], bool]
        The names of layers, or a function that says of a layer whether it belongs to the part.

    Raises
    ------
    StateTypeError
        If a name is not one of the model's layers, or no layer with weights is left.
    """
    if callable(layers):
        chosen = tuple(layer for layer in model.layers if layers(layer))
    else:
        names = [layers] if isinstance(layers, str) else list(layers)
        by_name = {layer.name: layer for layer in model.layers}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise StateTypeError(
                f"The model {model.name!r} has no layer {unknown[0]!r}; "
                f"its layers are {', '.join(by_name)}."
            )
        chosen = tuple(layer for layer in model.layers if layer.name in names)
    if not any(layer.weights for layer in chosen):
        raise StateTypeError(
            f"No layer with weights was chosen from the model {model.name!r}; "
            f"its layers are {', '.join(layer.name for layer in model.layers)}."
        )
    return Part(model, chosen)


class KerasWeightsCodec(Codec[Weights]):
    """``state["weights"] = model``, and ``state.load("weights", into=model)``."""

    tag = "keras.weights"

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a Keras model, a part of one, or weights that were read."""
        return isinstance(value, Weights | Part) or is_keras(value, "Model")

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord with an Array per variable, in the order of ``get_weights``."""
        if isinstance(value, Weights):
            return replace(encode_named(value), meta=value.place)
        variables = variables_of(value)
        if not variables:
            raise StateTypeError(f"the model {value.name!r} has no weights; build it first")
        encoded = encode_named({name: array_of(v) for name, v in variables.items()})
        return replace(encoded, meta=value.place()) if isinstance(value, Part) else encoded

    def decode(self, encoded: Encoded) -> Weights:
        """Return the weights, writable."""
        arrays = {name: array.copy() for name, array in decode_named(encoded).items()}
        return Weights(arrays, encoded.meta)

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the weights into a model or a part of one, after all of them were found to fit.

        A part goes to where it was in the model. Names alone would not do: Keras numbers
        layers without a name anew, so ``dense_1`` may be another layer the next time.
        """
        if not isinstance(into, Part) and not is_keras(into, "Model"):
            super().load(encoded, into)
        variables = variables_of(into)
        if encoded.meta and not isinstance(into, Part):
            total, positions = _place(encoded.meta)
            if len(variables) != total:
                raise StateFitError(
                    f"it is part of a model with {total} variables, {into.name!r} has "
                    f"{len(variables)}; say which of its layers it belongs to, with "
                    "into=weights_of(model, layers)"
                )
            names = list(variables)
            variables = {names[i]: variables[names[i]] for i in positions}
        paths = shown_paths(into.model if isinstance(into, Part) else into)
        assign(decode_named(encoded), variables, lambda variable: paths[id(variable)])


def assign(
    stored: dict[str, NDArray[Any]], variables: dict[str, Any], shown: Callable[[Any], str]
) -> None:
    """Assign stored arrays to Keras variables, in order, after all were found to fit.

    Parameters
    ----------
    stored, variables : dict
        By name.
    shown : Callable
        What to call a variable in an error.

    Raises
    ------
    StateFitError
        If one does not; nothing is assigned then.
    """
    expected = [
        Expected(name, shown(v), tuple(v.shape), str(v.dtype)) for name, v in variables.items()
    ]
    check_fit(stored, expected)
    for array, variable in zip(stored.values(), variables.values(), strict=True):
        variable.assign(array)


def array_of(variable: Any) -> NDArray[Any]:
    """Return a variable's value, where possible as a view: copying it takes as long as hashing.

    It must be used at once: the next step of training may write into the same memory.
    """
    try:
        return np.from_dlpack(variable.value.read_value())
    except (AttributeError, TypeError, ValueError, BufferError, RuntimeError):
        # Another backend than TensorFlow, another device than the CPU, or bfloat16.
        array: NDArray[Any] = variable.numpy()
        return array


def is_keras(value: object, kind: str) -> bool:
    """Return whether `value` is a ``keras.<kind>``, without importing Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, getattr(keras, kind))


def variables_of(source: Any) -> dict[str, Any]:
    """Return the weights of a model or a part of one by layer and name, in the model's order."""
    if isinstance(source, Part):
        return source.variables()
    return named(_renumbered(shown_paths(source).values(), source), source.weights)


def shown_paths(model: Any) -> dict[int, str]:
    """Return, by the identity of each weight, its layer and name as a summary shows them.

    A variable's own path will not do: it begins with the name of the model that its layer was
    built in, if it was built in one.
    """
    owners = {id(weight): layer.name for layer in model.layers for weight in layer.weights}
    paths = {}
    for variable in model.weights:
        layer = owners.get(id(variable), model.name)
        _, found, inner = f"/{variable.path}".partition(f"/{layer}/")
        paths[id(variable)] = f"{layer}/{inner if found else variable.name}"
    return paths


def named(names: Iterable[str], variables: Iterable[Any]) -> dict[str, Any]:
    """Return variables by name; one whose name was there before gets a number to it."""
    seen: Counter[str] = Counter()
    result: dict[str, Any] = {}
    for name, variable in zip(names, variables, strict=True):
        result[f"{name}#{seen[name]}" if seen[name] else name] = variable
        seen[name] += 1
    return result


def _renumbered(paths: Iterable[str], model: Any) -> Iterator[str]:
    """Yield paths as they are in a process that has made no other model.

    Keras numbers the layers that were not given a name through a whole process (``dense_7``), and
    the Simulation Engine makes model after model in one. Equal models must have equal digests.
    """
    kinds = {_snake_case(type(layer).__name__) for layer in model.layers} | _own_kinds()
    numbers: dict[tuple[str, ...], dict[str, int]] = {}
    for path in paths:
        parts: tuple[str, ...] = ()
        for part in path.split("/"):
            kind = re.sub(r"_\d+$", "", part)
            if kind in kinds:
                known = numbers.setdefault((*parts, kind), {})
                number = known.setdefault(part, len(known))
                part = f"{kind}_{number}" if number else kind
            parts = (*parts, part)
        yield "/".join(parts)


@cache
def _own_kinds() -> frozenset[str]:
    layers = sys.modules["keras"].layers
    names = (name for name, value in vars(layers).items() if isinstance(value, type))
    return frozenset(map(_snake_case, [*names, "Sequential", "Functional"]))


def _snake_case(name: str) -> str:
    """Return the name that Keras gives to a layer of a class."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _place(meta: dict[str, Any]) -> tuple[int, list[int]]:
    total, positions = meta.get("total"), meta.get("positions")
    if (
        type(total) is not int
        or type(positions) is not list
        or not all(type(i) is int and 0 <= i < total for i in positions)
    ):
        raise StateDamagedError(f"its place in the model cannot be read ({meta})")
    return total, positions
