"""What JSON does not have is text that says what it is."""

import datetime
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fedstate.inspection.export.as_json import to_plain
from fedstate.state.history import History


def made() -> History:
    history = History()
    history.append(0.5, 3)
    history.append(float("nan"))
    return history


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (made(), {"rounds": [3, None], "values": [0.5, "NaN"]}),
        ([np.inf, -np.inf, 1.0], ["Infinity", "-Infinity", 1.0]),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([1.5], ml_dtypes.bfloat16), [1.5]),
        (np.array([1 + 2j]), [[1.0, 2.0]]),
        (1 + 2j, [1.0, 2.0]),
        (np.array([1.5], np.longdouble), [1.5]),
        (np.longdouble(1.5), 1.5),
        (np.clongdouble(1 + 2j), [1.0, 2.0]),
        (np.float32(0.5), 0.5),
        (np.array(["2026-01-02"], "M8[D]"), ["2026-01-02"]),
        (np.array([3], "m8[s]"), [3]),
        (np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), [[1, 2.0]]),
        (np.array([b"ab"]), ["YWI="]),
        (b"ab", "YWI="),
        ({1: (True, None)}, {"1": [True, None]}),
        ({"b", "a"}, ["a", "b"]),
        ("\ud800", "\\ud800"),
        (2**70, 2**70),
        (datetime.date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_each_value_has_a_form(value: Any, expected: Any) -> None:
    plain = to_plain(value)
    assert plain == expected
    assert json.loads(json.dumps(plain, allow_nan=False)) == expected
