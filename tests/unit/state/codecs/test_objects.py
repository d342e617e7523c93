"""The stored form of nested values, and values that ``load_state_dict`` takes."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord

from fedstate.state import StateDamagedError, StateFitError
from fedstate.state.codecs.base import Encoded
from fedstate.state.codecs.objects import ObjectCodec, decode_object, encode_object


def test_without_arrays_it_is_a_config_record_and_version_1() -> None:
    encoded = encode_object({"b": None, "a": (1,)})
    assert isinstance(encoded.record, ConfigRecord)
    assert encoded.record["json"] == '{"a":{"@":"tuple","of":[1]},"b":null}'
    assert (encoded.meta, encoded.version) == ({}, 1)


def test_arrays_stand_sorted_beside_the_structure() -> None:
    encoded = encode_object({"b": np.ones(1), "a": [np.zeros(1)]})
    assert isinstance(encoded.record, ArrayRecord)
    assert list(encoded.record) == ["a/0", "b"]
    assert decode_object(encoded) == {"a": [np.zeros(1)], "b": np.ones(1)}


def test_only_newer_kinds_make_it_version_2() -> None:
    assert encode_object([np.ones(1), b"", 2**70]).version == 1
    assert encode_object([{1}]).version == 2
    assert encode_object({(1, 2): 3}).version == 1


@pytest.mark.parametrize(
    "encoded",
    [
        Encoded(ConfigRecord()),
        Encoded(ConfigRecord({"json": 3})),
        Encoded(ArrayRecord({"a": Array(np.ones(1))})),
        Encoded(ArrayRecord(), {"json": None}),
    ],
)
def test_a_record_without_structure_is_damage(encoded: Encoded) -> None:
    with pytest.raises(StateDamagedError, match="its record holds no structure"):
        decode_object(encoded)


def test_what_has_load_state_dict_is_given_the_value_and_nothing_else_is() -> None:
    class Taker:
        def load_state_dict(self, state: Any) -> None:
            self.state = state

    codec, taker = ObjectCodec(), Taker()
    codec.load(codec.encode({"a": (1, 2)}), taker)
    assert taker.state == {"a": (1, 2)}
    with pytest.raises(StateFitError, match="stored as 'object', which cannot be loaded into a"):
        codec.load(codec.encode({"a": (1, 2)}), object())
