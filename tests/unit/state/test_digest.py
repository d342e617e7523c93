"""Digests: what is content and what is not, framed so that no two trees look alike."""

import hashlib
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord

from fedstate.state import StateTypeError
from fedstate.state.digest import Digester, combine

PIECE = 2**20


def of(record: Any, **options: Any) -> str:
    return Digester().record("x", record, **options)


def array(data: bytes, dtype: str = "uint8", stype: str = "numpy.ndarray") -> Array:
    return Array(dtype, (len(data),), stype, data)


def test_no_two_of_these_have_the_same_digest() -> None:
    records: list[Any] = [
        ConfigRecord(),
        MetricRecord(),
        ArrayRecord(),
        MetricRecord({"a": 1}),
        ConfigRecord({"a": 1}),
        *(ConfigRecord({"a": value}) for value in (True, 1.0, "1", b"1", [1], [1, 1], [11], [])),
        *(ConfigRecord({"a": value}) for value in (["ab", "c"], ["a", "bc"], [b"ab"], "ab")),
        *(ConfigRecord({"a": value}) for value in (0.0, -0.0, [0.0, 0.0])),
        ConfigRecord({"ab": "c"}),
        ConfigRecord({"a": "bc"}),
        ConfigRecord({"a": 1, "b": 2}),
        ConfigRecord({"a": 2, "b": 1}),
        ArrayRecord({"a": array(b"12")}),
        ArrayRecord({"b": array(b"12")}),
        ArrayRecord({"a": array(b"12", dtype="int8")}),
        ArrayRecord({"a": array(b"12", stype="other")}),
        ArrayRecord({"a": Array("uint8", (1, 2), "numpy.ndarray", b"12")}),
    ]
    digests = [of(record) for record in records]
    assert len(set(digests)) == len(records)
    assert all(len(digest) == 64 for digest in digests)


def test_the_order_of_entries_is_content_of_arrays_alone() -> None:
    one, two = array(b"1"), array(b"2")
    assert of(ArrayRecord({"a": one, "b": two})) != of(ArrayRecord({"b": two, "a": one}))
    assert of(ConfigRecord({"a": 1, "b": 2})) == of(ConfigRecord({"b": 2, "a": 1}))
    assert of(MetricRecord({"a": 1, "b": 2})) == of(MetricRecord({"b": 2, "a": 1}))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_data_is_hashed_in_pieces_of_a_fixed_size(size: int) -> None:
    """Whoever computes it in another way comes to the same."""
    data = bytes(size)
    pieces = [data[i : i + PIECE] for i in range(0, size, PIECE)] or [b""]

    def frame(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)

    inner = hashlib.sha256(frame(b"data", *(hashlib.sha256(p).digest() for p in pieces))).digest()
    head = repr(("uint8", "numpy.ndarray", (size,))).encode()
    expected = hashlib.sha256(frame(b"array", head, inner)).digest()
    assert Digester().array(array(data)) == expected


def test_a_digester_remembers_bytes_by_their_identity_and_nothing_else() -> None:
    digester, kept = Digester(), array(bytes(1000))
    first = digester.array(kept)
    kept.data = bytes(999) + b"\x01"
    assert digester.array(kept) != first
    kept.data = bytes(1000)
    assert digester.array(kept) == first
    kept.shape = (10, 100)
    assert digester.array(kept) != first, "the shape is never taken as known"


def test_a_fixed_digest_is_taken_as_it_is() -> None:
    record = ArrayRecord({"a": array(b"1"), "b": array(b"2")})
    known = {"a": Digester().array(record["a"]).hex()}
    assert of(record, fixed=known) == of(record)
    assert of(record, fixed={"a": "00" * 32}) != of(record)


def test_names_of_records_are_sorted_and_none_is_the_empty_digest() -> None:
    assert combine({}) == ""
    one, two = "11" * 32, "22" * 32
    assert combine({"a": one, "b": two}) == combine({"b": two, "a": one})
    assert combine({"a": one, "b": two}) != combine({"a": two, "b": one})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, "a"], r"^Record 'x' has 'a' of type int and str, which Flower cannot send; use "),
        ([None], "of type NoneType, which Flower cannot send"),
        ([1, 2**64], f"integers from 1 to {2**64}, which do not fit into 64 bits together"),
        ([-1, 2**63], f"integers from -1 to {2**63}, which do not fit"),
        ([-(2**63) - 1], "do not fit into 64 bits"),
        (["\ud800"], "has 'a' with text that is not valid Unicode"),
    ],
)
def test_what_flower_could_not_send_is_named(content: list[Any], sentence: str) -> None:
    record = ConfigRecord({"a": [1]})
    values: Any = record["a"]
    values[:] = content  # flwr does not check what is changed in place
    with pytest.raises(StateTypeError, match=sentence):
        of(record)


@pytest.mark.parametrize("content", [[2**64 - 1], [-(2**63), 2**63 - 1]])
def test_integers_at_the_bounds_are_taken(content: list[int]) -> None:
    record = ConfigRecord({"a": [1]})
    values: Any = record["a"]
    values[:] = content
    assert of(record)


@pytest.mark.parametrize("content", [[True], ["a"], [0.5, True]])
def test_metrics_are_numbers(content: list[Any]) -> None:
    record = MetricRecord({"loss": [1.0]})
    values: Any = record["loss"]
    values[:] = content
    with pytest.raises(StateTypeError):
        of(record)


def test_an_array_of_what_is_no_bytes_is_refused() -> None:
    altered: Any = Array(np.ones(1))
    altered.data = bytearray(altered.data)
    with pytest.raises(StateTypeError, match="holds data of type bytearray; it must be bytes"):
        Digester().array(altered)
