"""The state of a Keras optimizer: iterations, learning rate, moments."""

import re
from typing import Any

from numpy.typing import NDArray

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.keras_weights import array_of, assign, is_keras, named
from fedstate.state.codecs.named import decode_named, encode_named
from fedstate.state.errors import StateFitError


class OptimizerState(dict[str, "NDArray[Any]"]):
    """An optimizer's variables as arrays by path (``"adam/iteration"``), in its order."""


class KerasOptimizerCodec(Codec[OptimizerState]):
    """``state["optimizer"] = model.optimizer``, and ``state.load("optimizer", into=model)``."""

    tag = "keras.optimizer"

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a Keras optimizer, or the state of one that was read."""
        return isinstance(value, OptimizerState) or is_keras(value, "Optimizer")

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord with one Array per variable of the optimizer."""
        if isinstance(value, OptimizerState):
            return encode_named(value)
        return encode_named({name: array_of(v) for name, v in _variables(value).items()})

    def decode(self, encoded: Encoded) -> OptimizerState:
        """Return the optimizer's variables, writable."""
        arrays = decode_named(encoded)
        return OptimizerState({name: array.copy() for name, array in arrays.items()})

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the state into an optimizer, or into a compiled model's, which is built for it.

        Keras makes an optimizer's moments at the first step or when it is built, so one that
        stands alone must have been built with the variables it is to train.
        """
        stored = decode_named(encoded)
        optimizer = into
        if is_keras(into, "Model"):
            optimizer = getattr(into, "optimizer", None)
            if optimizer is None:
                raise StateFitError(f"the model {into.name!r} has no optimizer; compile it first")
            if not optimizer.built:
                optimizer.build(into.trainable_variables)
        elif not is_keras(into, "Optimizer"):
            super().load(encoded, into)
        elif not optimizer.built:
            raise StateFitError(
                f"the optimizer {optimizer.name!r} is not built; load into the model, or call "
                "optimizer.build(model.trainable_variables) first"
            )
        assign(stored, _variables(optimizer), lambda variable: str(variable.path))


def _variables(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's variables by path, without the numbers of the layers in it.

    Keras counts them through a whole process, and a moment's path has its layer's in the middle.
    """
    paths = [re.sub(r"_\d+(?=[/_]|$)", "", v.path) for v in optimizer.variables]
    return named(paths, optimizer.variables)
