"""The state of a Keras optimizer: iterations, learning rate, moments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from numpy.typing import NDArray

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.keras import version_1
from fedstate.state.codecs.keras.match import match
from fedstate.state.codecs.keras.own import array_of
from fedstate.state.codecs.keras.rollback import all_or_nothing
from fedstate.state.codecs.keras.slots import Slots, optimizers_in
from fedstate.state.codecs.keras_weights import is_keras
from fedstate.state.codecs.named import decode_named, encode_named
from fedstate.state.errors import StateDamagedError, StateFitError

# What the manifest says of a value: that the optimizer had not taken a step, the layers whose
# names Keras counted, and that version 1 stored it.
_UNBUILT, _COUNTED, _OLD = "unbuilt", "counted", "old"


class OptimizerState(dict[str, "NDArray[Any]"]):
    """An optimizer's variables as arrays by name (``"adam/iteration"``), in its order.

    Attributes
    ----------
    place : dict[str, Any]
        What else must be known to load them.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], place: dict[str, Any] | None = None
    ) -> None:
        super().__init__(arrays)
        self.place = place or {}


class KerasOptimizerCodec(Codec[OptimizerState]):
    """``state["optimizer"] = model.optimizer``, and ``state.load("optimizer", into=model)``."""

    tag = "keras.optimizer"
    version = 2
    described: ClassVar = (("a Keras optimizer", "arrays by name, or `load(…, into=model)`"),)

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a Keras optimizer, or the state of one that was read."""
        return isinstance(value, OptimizerState) or is_keras(value, "Optimizer")

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord with one Array per variable of the optimizer."""
        if isinstance(value, OptimizerState):
            return replace(encode_named(value), meta=value.place)
        slots = Slots.of(value)
        meta: dict[str, Any] = {} if value.built else {_UNBUILT: True}
        meta |= {_COUNTED: sorted(slots.counted)} if slots.counted else {}
        arrays = {one.name: array_of(one.variable) for one in slots.expected}
        return replace(encode_named(arrays), meta=meta)

    def decode(self, encoded: Encoded) -> OptimizerState:
        """Return the optimizer's variables, writable."""
        arrays = {name: array.copy() for name, array in decode_named(encoded).items()}
        return OptimizerState(arrays, encoded.meta)

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the state into an optimizer, or into a compiled model's, which is built for it.

        Keras makes an optimizer's moments at the first step or when it is built, so one that
        stands alone must have been built with the variables it is to train, unless the state is
        of one that was not built, either.
        """
        stored = decode_named(encoded)
        optimizer, variables = into, None
        if is_keras(into, "Model"):
            optimizer = getattr(into, "optimizer", None)
            if optimizer is None:
                raise StateFitError(f"the model {into.name!r} has no optimizer; compile it first")
            variables = into.trainable_variables
        elif not is_keras(into, "Optimizer"):
            super().load(encoded, into)
        is_unbuilt = _is_unbuilt(encoded.meta)
        inside = optimizers_in(optimizer)
        objects = [*inside, *(one._tracker for one in inside)]  # noqa: SLF001
        existing = {id(v): v for one in inside for v in one.variables}
        with all_or_nothing(objects, existing.values()):
            if not is_unbuilt and not optimizer.built:
                _build(optimizer, variables, into)
            whole = "optimizer" if variables is None else "model"
            pairs = _pairs(stored, encoded.meta, optimizer, whole)
            for name, variable in pairs:
                variable.assign(stored[name])

    @staticmethod
    def _from_1(encoded: Encoded) -> Encoded:
        """Mark what version 1 stored: which variable it belongs to is only known at loading."""
        return replace(encoded, meta={**encoded.meta, _OLD: 1})

    migrations = {1: _from_1}  # noqa: RUF012


def _build(optimizer: Any, variables: list[Any] | None, into: Any) -> None:
    if variables is None:
        raise StateFitError(
            f"the optimizer {optimizer.name!r} is not built; load into the model, or call "
            "optimizer.build(model.trainable_variables) first"
        )
    if not into.built:
        raise StateFitError(
            f"the model {into.name!r} is not built yet, and its optimizer has nothing to train; "
            "build it, or call it once on data, and load then"
        )
    optimizer.build(variables)


def _pairs(
    stored: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], optimizer: Any, whole: str
) -> list[tuple[str, Any]]:
    """Return each stored name with the variable that takes it."""
    if meta.get(_OLD):
        matched = version_1.match_optimizer(stored, optimizer.variables)
        by_array = {id(array): name for name, array in stored.items()}
        variables = {id(v): v for v in optimizer.variables}
        return [(by_array[id(array)], variables[i]) for i, array in matched.items()]
    counted = meta.get(_COUNTED, [])
    if not isinstance(counted, list) or not all(isinstance(path, str) for path in counted):
        raise StateDamagedError(f"its place in the optimizer cannot be read ({meta})")
    slots = Slots.of(optimizer)
    expected = slots.expected
    if _is_unbuilt(meta) and optimizer.built:
        _check_fresh(optimizer)
        expected = [one for one in expected if one.name in stored]
    pairs = match(stored, expected, (counted, slots.counted), whole, is_optimizer=True)
    return [(name, one.variable) for name, one in pairs]


def _check_fresh(optimizer: Any) -> None:
    steps = max(int(one.iterations.numpy()) for one in optimizers_in(optimizer))
    if steps:
        raise StateFitError(
            f"it was stored before the optimizer's first step, and {optimizer.name!r} has taken "
            f"{steps}; load it into a new optimizer"
        )


def _is_unbuilt(meta: Mapping[str, Any]) -> bool:
    return meta.get(_UNBUILT) is True
