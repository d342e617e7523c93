"""Named arrays in an order: what the weights of a model, or an optimizer's slots, come to."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

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


def check_fit(
    stored: Mapping[str, NDArray[Any]], expected: Sequence[tuple[str, tuple[int, ...], str]]
) -> None:
    """Check that stored arrays fit the variables of a model, one by one, in their order.

    Keras numbers the layers that were not given a name (``dense``, ``dense_1``, …) anew in
    every process, so those numbers do not count; everything else of a name does.

    Parameters
    ----------
    stored : Mapping[str, NDArray]
        The arrays by name.
    expected : Sequence[tuple[str, tuple[int, ...], str]]
        Name, shape and dtype of the model's variables.

    Raises
    ------
    StateFitError
        At the first that does not fit; it names the layer and both shapes.
    """
    for (name, array), (variable, shape, dtype) in zip(stored.items(), expected, strict=False):
        if array.shape != shape:
            raise StateFitError(
                f"{variable!r} has shape {shape} in the model, and {array.shape} as stored"
                + ("" if name == variable else f" (as {name!r})")
            )
        if array.dtype != np.dtype(dtype):
            raise StateFitError(
                f"{variable!r} has dtype {dtype} in the model, and {array.dtype} as stored"
            )
        if _without_numbers(name) != _without_numbers(variable):
            raise StateFitError(f"{variable!r} in the model stands where {name!r} is stored")
    if len(stored) > len(expected):
        surplus = list(stored)[len(expected)]
        raise StateFitError(
            f"{surplus!r} of shape {stored[surplus].shape} is stored, and the model has no "
            f"such variable (it has {len(expected)}, stored are {len(stored)})"
        )
    if len(expected) > len(stored):
        variable, shape, _ = expected[len(stored)]
        raise StateFitError(
            f"{variable!r} of shape {shape} in the model is not stored (the model has "
            f"{len(expected)} variables, stored are {len(stored)})"
        )


def _without_numbers(name: str) -> str:
    return re.sub(r"_\d+(?=/|_|$)", "", name)
