"""Which values Flower brings back unchanged, and so are stored as it carries them."""

from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord

from fedstate.state import StateDamagedError
from fedstate.state.codecs.base import Encoded
from fedstate.state.codecs.scalars import ScalarCodec, is_unicode

TAKEN = [
    True,
    0,
    -(2**63),
    2**63 - 1,
    0.5,
    "",
    "ü",
    b"",
    [1, 2],
    [0.5],
    ["a", "b"],
    [b"a"],
    [False],
]


@pytest.mark.parametrize("value", TAKEN)
def test_what_is_taken_comes_back_as_a_copy(value: Any) -> None:
    codec = ScalarCodec()
    assert codec.accepts(value)
    encoded = codec.encode(value)
    assert dict(encoded.record) == {"value": value}
    back = codec.decode(encoded)
    assert (type(back), back) == (type(value), value)
    if isinstance(value, list):
        assert back is not encoded.record["value"]
        assert encoded.record["value"] is not value


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], [None], (1,), {}, 1j),
        *(2**63, -(2**63) - 1, [0, 2**63]),
        *([1, True], [1, 1.0], ["a", b"a"], [[1]]),
        *("\ud800", ["a", "\udfff"], np.float64(1), np.str_("a")),
    ],
)
def test_what_flower_would_change_is_left_to_another_codec(value: Any) -> None:
    assert not ScalarCodec().accepts(value)


@pytest.mark.parametrize(
    "record", [ConfigRecord(), ConfigRecord({"value": 1, "b": 1}), ArrayRecord()]
)
def test_another_record_is_damage(record: Any) -> None:
    with pytest.raises(StateDamagedError, match="not a ConfigRecord with the one key 'value'"):
        ScalarCodec().decode(Encoded(record))


def test_only_lone_surrogates_are_no_unicode() -> None:
    assert all(map(is_unicode, ["", "a", "ü", "\ud7ff", "\ue000", "\U0010ffff"]))
    assert not any(map(is_unicode, ["\ud800", "\udfff", "a\udc80b"]))
