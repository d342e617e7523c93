"""A Context apart from its larger arrays, and whole again."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedstate.flower.contexts import context_from_bytes
from fedstate.large.context import PackedContext
from fedstate.large.wire import PART_BYTES, Parts


def context(*sizes: int) -> Context:
    """Return a Context with arrays of these sizes in two records, and other records between."""
    arrays = {str(n): Array(np.full(size, n, np.uint8)) for n, size in enumerate(sizes)}
    half = len(arrays) // 2
    state = RecordDict(
        {
            "first": ArrayRecord(dict(list(arrays.items())[:half])),
            "metrics": MetricRecord({"loss": [0.5, 0.25]}),
            "config": ConfigRecord({"raw": bytes(2 * PART_BYTES)}),
            "last": ArrayRecord(dict(list(arrays.items())[half:])),
        }
    )
    return Context(2**64 - 1, 2**63, {"partition-id": 0}, state, {"rate": 0.5}, 7)


# An array's data is in numpy's file format, which adds a header.
SIZES = st.lists(st.sampled_from([0, 1, 100, PART_BYTES, 3 * PART_BYTES]), max_size=6)


@given(SIZES)
def test_a_context_is_whole_again(sizes: list[int]) -> None:
    whole = context(*sizes)
    packed = PackedContext.pack(whole)
    packed.check()
    assert packed.unpack() == whole == context(*sizes)


@given(SIZES)
def test_just_the_larger_arrays_are_apart(sizes: list[int]) -> None:
    packed = PackedContext.pack(context(*sizes))
    assert list(packed.taken.large) == [size >= PART_BYTES for size in sizes]
    assert all(len(part) >= PART_BYTES for part in packed.taken.parts)
    assert len(packed.to_bytes()) < 3 * PART_BYTES + 1000 * (len(sizes) + 1)
    assert context_from_bytes(packed.to_bytes()) == packed.context


def test_data_is_not_copied() -> None:
    whole = context(PART_BYTES)
    array = whole.state.array_records["last"]["0"]
    assert PackedContext.pack(whole).taken.parts[0] is array.data


def test_arrays_keep_all_that_belongs_to_them() -> None:
    own = Array("bfloat16", (2, 3), "own.format", bytes(PART_BYTES))
    whole = Context(1, 2, {}, RecordDict({"own": ArrayRecord({"a": own})}), {})
    found = PackedContext.pack(whole).unpack().state.array_records["own"]["a"]
    assert (found.dtype, found.shape, found.stype) == ("bfloat16", (2, 3), "own.format")
    assert bytes(found.data) == bytes(PART_BYTES)


@pytest.mark.parametrize(
    "taken",
    [
        Parts(),
        Parts(b"\1", [bytes(PART_BYTES)]),
        Parts(b"\1\0", []),
        Parts(b"\0\0", [b"x"]),
        Parts(b"\1\0\0", [b"x"]),
    ],
)
def test_arrays_that_do_not_fit_the_context_are_noticed(taken: Parts) -> None:
    packed = PackedContext.pack(context(PART_BYTES, 1))
    with pytest.raises(ValueError, match="arrays"):
        PackedContext(packed.context, taken).check()
