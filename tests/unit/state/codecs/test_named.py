"""Named arrays in an order."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedstate.state import StateDamagedError
from fedstate.state.codecs.base import Encoded
from fedstate.state.codecs.named import decode_named, encode_named


def test_the_order_is_kept() -> None:
    arrays = {name: np.full(2, i) for i, name in enumerate("bac")}
    back = decode_named(encode_named(arrays))
    assert list(back) == ["b", "a", "c"]
    assert [array.tolist() for array in back.values()] == [[0, 0], [1, 1], [2, 2]]
    assert decode_named(encode_named({})) == {}


def test_another_record_is_damage() -> None:
    with pytest.raises(StateDamagedError, match="not an ArrayRecord"):
        decode_named(Encoded(ConfigRecord()))
