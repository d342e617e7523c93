"""Keras models and layers, and the parts of them that are to stay with the client."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from numpy.typing import NDArray

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.keras import version_1
from fedstate.state.codecs.keras.model import ModelState
from fedstate.state.codecs.keras.parts import ModelPart, weights_of
from fedstate.state.codecs.named import decode_named, encode_named
from fedstate.state.errors import StateDamagedError, StateTypeError

__all__ = ["KerasWeightsCodec", "ModelPart", "Weights", "is_keras", "weights_of"]

# What the manifest says of a value: the layers whose names Keras counted, how many variables the
# model has that a part is of, and that version 1 stored it.
_COUNTED, _TOTAL, _OLD = "counted", "total", "old"


class Weights(dict[str, "NDArray[Any]"]):
    """A model's state as arrays by layer and name (``"conv2d/kernel"``), weights first.

    Attributes
    ----------
    place : dict[str, Any]
        What else must be known to load them.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], place: dict[str, Any]) -> None:
        super().__init__(arrays)
        self.place = place


class KerasWeightsCodec(Codec[Weights]):
    """``state["weights"] = model``, and ``state.load("weights", into=model)``."""

    tag = "keras.weights"
    version = 2
    described: ClassVar = (
        (
            "a Keras model or layer, or part of one (`weights_of`)",
            "arrays by layer, or `load(…, into=model)`",
        ),
    )

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a model, layer, part of one, or weights that were read."""
        return isinstance(value, Weights | ModelPart) or is_keras(value, "Layer")

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord: the weights in the order of ``get_weights``, then the rest."""
        if isinstance(value, Weights):
            return replace(encode_named(value), meta=value.place)
        if isinstance(value, ModelPart):
            state = ModelState.of(value.model)
            variables, owns = value.chosen(state)
            arrays = state.arrays(variables, owns)
            meta: dict[str, Any] = {_TOTAL: len(state.expected)}
        else:
            state = ModelState.of(value)
            has_state = value.weights or any(own.extras for own in state.owns)
            if not has_state and not getattr(value, "built", True):
                raise StateTypeError(f"the model {value.name!r} has no weights; build it first")
            arrays, meta = state.arrays(None, state.owns), {}
        counted = [
            path for path in state.counted if any(n.startswith(f"{path}/") for n in arrays)
        ]
        meta |= {_COUNTED: counted} if counted else {}
        return replace(encode_named(arrays), meta=meta)

    def decode(self, encoded: Encoded) -> Weights:
        """Return the state, writable."""
        arrays = {name: array.copy() for name, array in decode_named(encoded).items()}
        return Weights(arrays, encoded.meta)

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the state into a model or a part of one, after all of it was found to fit.

        A part goes to the same layers of the model as it came from.
        """
        if not isinstance(into, ModelPart) and not is_keras(into, "Layer"):
            super().load(encoded, into)
        stored, meta = decode_named(encoded), encoded.meta
        state = ModelState.of(into.model if isinstance(into, ModelPart) else into)
        variables, owns = (
            into.chosen(state) if isinstance(into, ModelPart) else (None, state.owns)
        )
        if meta.get(_OLD):
            place = {key: content for key, content in meta.items() if key != _OLD}
            state.put_variables(version_1.match_weights(stored, state.model, place, variables))
            return
        counted, total = _checked(meta)
        is_part = total is not None and variables is None
        if is_part and total != len(state.expected):
            raise version_1.part_of_another(total or 0, into.name, len(state.expected))
        is_some = variables is not None and total is not None
        state.load(stored, counted, variables, owns, is_part=is_part or is_some)

    @staticmethod
    def _from_1(encoded: Encoded) -> Encoded:
        """Mark what version 1 stored: which layer it belongs to is only known when it loads."""
        return replace(encoded, meta={**encoded.meta, _OLD: 1})

    migrations = {1: _from_1}  # noqa: RUF012


def is_keras(value: object, kind: str) -> bool:
    """Return whether `value` is a ``keras.<kind>``, without importing Keras."""
    keras = sys.modules.get("keras")
    # Keras is in sys.modules while it is still being imported.
    found = getattr(keras, kind, None)
    return isinstance(found, type) and isinstance(value, found)


def _checked(meta: Mapping[str, Any]) -> tuple[list[str], int | None]:
    counted, total = meta.get(_COUNTED, []), meta.get(_TOTAL)
    if (
        not isinstance(counted, list)
        or not all(isinstance(path, str) for path in counted)
        or not (total is None or type(total) is int)
    ):
        raise StateDamagedError(f"its place in the model cannot be read ({meta})")
    return counted, total
