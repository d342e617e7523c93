"""Single arrays and named ones in an ArrayRecord."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord

from fedstate.state import StateDamagedError, StateFitError
from fedstate.state.codecs.arrays import ArrayCodec
from fedstate.state.codecs.base import Encoded


class Sub(np.ndarray[Any, Any]):
    """It may carry more than its elements."""


def test_only_plain_arrays_are_taken() -> None:
    codec = ArrayCodec()
    assert codec.accepts(np.zeros(()))
    assert not codec.accepts(np.zeros(1).view(Sub))
    assert not codec.accepts(np.zeros(1, object))
    assert not codec.accepts(np.float64(1))
    assert not codec.accepts([1.0])


def test_an_array_comes_back_writable_with_memory_of_its_own() -> None:
    codec = ArrayCodec()
    encoded = codec.encode(np.arange(6.0).reshape(2, 3).T)
    assert list(encoded.record) == ["array"]
    one, other = codec.decode(encoded), codec.decode(encoded)
    one += 1
    assert one.flags.c_contiguous
    assert other.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    "record",
    [ArrayRecord(), ArrayRecord({"b": Array(np.ones(1))}), ConfigRecord({"array": 1})],
)
def test_another_record_is_damage(record: Any) -> None:
    with pytest.raises(StateDamagedError, match="not an ArrayRecord with the one key 'array'"):
        ArrayCodec().decode(Encoded(record))


def test_an_array_is_not_loaded_into_anything() -> None:
    codec = ArrayCodec()
    with pytest.raises(
        StateFitError, match=r"'numpy.array', which cannot be loaded into a list;"
    ):
        codec.load(codec.encode(np.ones(1)), into=[])
