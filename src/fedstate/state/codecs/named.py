"""Named arrays in an order: what the state of a model, or an optimizer's slots, come to."""

from collections.abc import Mapping
from typing import Any

from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedstate.state.codecs.base import Encoded
from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.errors import StateDamagedError


def encode_named(arrays: Mapping[str, NDArray[Any]]) -> Encoded:
    """Return an ArrayRecord with one Array per name, in this order."""
    return Encoded(ArrayRecord({name: encode_array(array) for name, array in arrays.items()}))


def decode_named(encoded: Encoded) -> dict[str, NDArray[Any]]:
    """Return the arrays by name, as read-only views of what is stored."""
    if not isinstance(encoded.record, ArrayRecord):
        raise StateDamagedError("its record is not an ArrayRecord")
    return {name: decode_array(array) for name, array in encoded.record.items()}
