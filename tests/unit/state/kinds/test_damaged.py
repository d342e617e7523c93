"""Structures that no encoder writes are refused, whatever a decoder would make of them."""

import json
from typing import Any

import numpy as np
import pytest

from fedstate.state import StateDamagedError, StateTypeError, StateVersionError
from fedstate.state.codecs.npy import encode_array
from fedstate.state.codecs.tree import from_tree


@pytest.mark.parametrize(
    ("mark", "content"),
    [
        ("set", [[1]]),
        ("frozenset", 3),
        ("deque", [None, "abc"]),
        ("deque", [-1, []]),
        ("OrderedDict", [[[1]]]),
        ("OrderedDict", [[], []]),
        ("Counter", [[[], 1]]),
        ("defaultdict", ["eval", []]),
        ("defaultdict", [3, []]),
        ("SimpleNamespace", []),
        ("complex", [1, 2]),
        ("complex", [0.5]),
        ("bytearray", "*"),
        ("range", [1, 2, 0]),
        ("range", ["a"]),
        ("Decimal", 3),
        ("Decimal", "x"),
        ("Fraction", [1, 0]),
        ("date", [2026, 13, 1]),
        ("datetime", {}),
        ("time", [25, 0, 0, 0, 0, None]),
        ("timedelta", ["a"]),
        ("timezone", [3]),
        ("ZoneInfo", 3),
        ("ZoneInfo", "../../etc/passwd"),
        ("UUID", "x"),
        ("UUID", 3),
        ("path", ["Path", "a"]),
        ("path", ["PurePosixPath", 3]),
        ("random.Random", [3, [1], None]),
        ("objects", [[2], [1]]),
        ("strings", [[1], True, [], ["a", "b"]]),
        ("Generator", ["Generator", {}, None]),
        ("Generator", ["PCG64", 3, None]),
        ("BitGenerator", ["seed", 1, None]),
        ("RandomState", ["MT19937", [], None]),
        ("SeedSequence", [1, 2]),
        ("namedtuple", ["os", "path", [], []]),
        ("namedtuple", ["builtins", "dict", [], []]),
        ("enum", ["builtins", "int", "A"]),
        ("enum", [3, "a", "A"]),
        ("registered", [3, 1, None]),
        ("registered", ["scalar", 1, None]),
        ("codec", {"meta": [], "values": {}, "tag": "scalar", "version": 1}),
        ("codec", {"meta": {}, "values": {}, "tag": "scalar", "version": 1}),
        ("codec", {"meta": {}, "values": {"value": [1, "a"]}, "tag": "scalar", "version": 1}),
        ("torch.device", 3),
    ],
)
def test_what_no_encoder_writes_is_refused(mark: str, content: Any) -> None:
    with pytest.raises((StateDamagedError, StateTypeError, StateVersionError)):
        from_tree(json.dumps({"@": mark, "of": content}), {})


def test_what_is_stored_of_an_unknown_zone_says_what_to_install() -> None:
    with pytest.raises(StateTypeError, match=r"zone 'Mars/Base', .* install the package tzdata"):
        from_tree('{"@": "ZoneInfo", "of": "Mars/Base"}', {})


def test_a_codec_that_is_not_registered_is_named() -> None:
    content = {"meta": {}, "values": {}, "tag": "none", "version": 1}
    with pytest.raises(StateVersionError, match="by the codec 'none' version 1, which is not re"):
        from_tree(json.dumps({"@": "codec", "of": content}), {})


def test_arrays_that_are_there_twice_are_refused() -> None:
    text = json.dumps([{"@": "array", "of": "a"}, {"@": "scalar", "of": "a"}])
    with pytest.raises(StateDamagedError, match="KeyError"):
        from_tree(text, {"a": encode_array(np.ones(1))})
