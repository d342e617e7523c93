"""A Context apart from its larger arrays, and whole again."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedstate.flower.contexts import context_from_bytes
from fedstate.large.context import SplitContext
from fedstate.large.wire import LARGE_ARRAY_BYTES, LargeArrays


def context(*sizes: int) -> Context:
    """Return a Context with arrays of these sizes in two records, and other records between."""
    arrays = {str(n): Array(np.full(size, n, np.uint8)) for n, size in enumerate(sizes)}
    half = len(arrays) // 2
    state = RecordDict(
        {
            "first": ArrayRecord(dict(list(arrays.items())[:half])),
            "metrics": MetricRecord({"loss": [0.5, 0.25]}),
            "config": ConfigRecord({"raw": bytes(2 * LARGE_ARRAY_BYTES)}),
            "last": ArrayRecord(dict(list(arrays.items())[half:])),
        }
    )
    return Context(2**64 - 1, 2**63, {"partition-id": 0}, state, {"rate": 0.5}, 7)


# An array's data is in numpy's file format, which adds a header.
SIZES = st.lists(
    st.sampled_from([0, 1, 100, LARGE_ARRAY_BYTES, 3 * LARGE_ARRAY_BYTES]), max_size=6
)


@given(SIZES)
def test_a_context_is_whole_again(sizes: list[int]) -> None:
    whole = context(*sizes)
    split = SplitContext.split(whole)
    split.check()
    assert split.join() == whole == context(*sizes)


@given(SIZES)
def test_just_the_larger_arrays_are_apart(sizes: list[int]) -> None:
    split = SplitContext.split(context(*sizes))
    assert list(split.arrays.is_large) == [size >= LARGE_ARRAY_BYTES for size in sizes]
    assert all(len(part) >= LARGE_ARRAY_BYTES for part in split.arrays.contents)
    assert len(split.to_bytes()) < 3 * LARGE_ARRAY_BYTES + 1000 * (len(sizes) + 1)
    assert context_from_bytes(split.to_bytes()) == split.context


def test_data_is_not_copied() -> None:
    whole = context(LARGE_ARRAY_BYTES)
    array = whole.state.array_records["last"]["0"]
    assert SplitContext.split(whole).arrays.contents[0] is array.data


def test_arrays_keep_all_that_belongs_to_them() -> None:
    own = Array("bfloat16", (2, 3), "own.format", bytes(LARGE_ARRAY_BYTES))
    whole = Context(1, 2, {}, RecordDict({"own": ArrayRecord({"a": own})}), {})
    found = SplitContext.split(whole).join().state.array_records["own"]["a"]
    assert (found.dtype, found.shape, found.stype) == ("bfloat16", (2, 3), "own.format")
    assert bytes(found.data) == bytes(LARGE_ARRAY_BYTES)


@pytest.mark.parametrize(
    "arrays",
    [
        LargeArrays(),
        LargeArrays(b"\1", [bytes(LARGE_ARRAY_BYTES)]),
        LargeArrays(b"\1\0", []),
        LargeArrays(b"\0\0", [b"x"]),
        LargeArrays(b"\1\0\0", [b"x"]),
    ],
)
def test_arrays_that_do_not_fit_the_context_are_noticed(arrays: LargeArrays) -> None:
    split = SplitContext.split(context(LARGE_ARRAY_BYTES, 1))
    with pytest.raises(ValueError, match="arrays"):
        SplitContext(split.context, arrays).check()
