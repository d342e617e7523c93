"""Named arrays in an order: what the weights of a model, or an optimizer's slots, come to."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedstate.state.codecs.base import Encoded
from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.errors import StateDamagedError, StateFitError


def encode_named(arrays: Mapping[str, NDArray[Any]]) -> Encoded:
    """Return an ArrayRecord with one Array per name, in this order."""
    return Encoded(ArrayRecord({name: encode_array(array) for name, array in arrays.items()}))


def decode_named(encoded: Encoded) -> dict[str, NDArray[Any]]:
    """Return the arrays by name, as read-only views of what is stored."""
    if not isinstance(encoded.record, ArrayRecord):
        raise StateDamagedError("its record is not an ArrayRecord")
    return {name: decode_array(array) for name, array in encoded.record.items()}


class Expected(NamedTuple):
    """A variable that is to take a stored array: its name, and what to call it in an error."""

    name: str
    shown: str
    shape: tuple[int, ...]
    dtype: str


def check_fit(stored: Mapping[str, NDArray[Any]], expected: Sequence[Expected]) -> None:
    """Check that stored arrays fit the variables of a model, one by one, in their order.

    Parameters
    ----------
    stored : Mapping[str, NDArray]
        The arrays by name.
    expected : Sequence[Expected]
        The model's variables.

    Raises
    ------
    StateFitError
        At the first that does not fit; it names the layer and both shapes.
    """
    for (name, array), variable in zip(stored.items(), expected, strict=False):
        if array.shape != variable.shape:
            raise StateFitError(
                f"{variable.shown!r} has shape {variable.shape} in the model, and {array.shape} "
                + ("as stored" if name == variable.name else f"as stored ({name!r})")
            )
        if array.dtype != np.dtype(variable.dtype):
            raise StateFitError(
                f"{variable.shown!r} has dtype {variable.dtype} in the model, and {array.dtype} "
                "as stored"
            )
        if name != variable.name:
            raise StateFitError(
                f"{variable.shown!r} in the model stands where {name!r} is stored"
            )
    if len(stored) > len(expected):
        surplus = list(stored)[len(expected)]
        raise StateFitError(
            f"{surplus!r} of shape {stored[surplus].shape} is stored, and the model has no "
            f"such variable (it has {len(expected)}, stored are {len(stored)})"
        )
    if len(expected) > len(stored):
        missing = expected[len(stored)]
        raise StateFitError(
            f"{missing.shown!r} of shape {missing.shape} in the model is not stored (the model "
            f"has {len(expected)} variables, stored are {len(stored)})"
        )
