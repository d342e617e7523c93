"""A single NumPy array: the ArrayRecord that the guide makes by hand, with exact dtypes."""

from typing import Any

from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.errors import StateDamagedError
from fedstate.state.kinds.numpy_values import is_array

_KEY = "array"


class ArrayCodec(Codec[NDArray[Any]]):
    """One array of any fixed dtype and shape, 0-d and empty ones too."""

    tag = "numpy.array"

    def accepts(self, value: object) -> bool:
        """Return whether `value` is an ndarray, not a subclass that may carry more."""
        return is_array(value)

    def encode(self, value: NDArray[Any]) -> Encoded:
        """Return an ArrayRecord with the one array."""
        return Encoded(ArrayRecord({_KEY: encode_array(value)}))

    def decode(self, encoded: Encoded) -> NDArray[Any]:
        """Return the array, C-contiguous and writable."""
        record = encoded.record
        if not isinstance(record, ArrayRecord) or set(record) != {_KEY}:
            raise StateDamagedError(f"its record is not an ArrayRecord with the one key {_KEY!r}")
        return decode_array(record[_KEY]).copy()
