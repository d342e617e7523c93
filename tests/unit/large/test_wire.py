"""Larger arrays are split from Flower's own messages, and joined to them, to the byte."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from flwr.common.serde import context_to_proto
from flwr.proto.runtime_pb2 import PullTaskInputResponse, PushTaskOutputRequest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.flower.contexts import context_from_bytes, context_to_bytes
from fedstate.flower.field_numbers import CONTEXT, TASK_INPUT, TASK_OUTPUT
from fedstate.large.context import SplitContext
from fedstate.large.wire import (
    LargeArrays,
    in_chunks,
    join_message,
    size_of,
    split_message,
)

LARGE = np.random.default_rng(0).standard_normal(1000)


def context() -> Context:
    state = RecordDict(
        {
            "weights": ArrayRecord([LARGE, np.zeros(0), np.arange(3), LARGE * 2]),
            "none": ArrayRecord([]),
            "history": MetricRecord({"loss": [0.5, 0.25], "step": -3}),
            "config": ConfigRecord({"name": "x", "raw": b"\0\1" * 5000, "flags": [True]}),
            "more": ArrayRecord({"empty": Array("f", (0,), "own", b""), "last": Array(LARGE)}),
        }
    )
    return Context(2**64 - 1, 2**63, {"partition-id": 0}, state, {"rate": 0.5, "x": ""}, 7)


def joined(pieces: list[bytes | memoryview]) -> bytes:
    return b"".join(pieces)


def test_what_was_split_is_joined_again_to_the_byte() -> None:
    for path, whole in (
        (CONTEXT, context_to_proto(context())),
        (TASK_OUTPUT, PushTaskOutputRequest(context=context_to_proto(context()), details="d")),
        (
            TASK_INPUT,
            PullTaskInputResponse(context=context_to_proto(context()), task_id=2**64 - 1),
        ),
    ):
        message = whole.SerializeToString()
        bare, arrays = split_message(message, path)
        assert len(bare) < 12_000
        assert list(arrays.is_large) == [1, 0, 0, 1, 0, 1]
        assert [bytes(part)[-8:] for part in arrays.contents] == [
            (array[-1]).tobytes() for array in (LARGE, LARGE * 2, LARGE)
        ]
        pieces = join_message(bare, path, arrays)
        assert joined(pieces) == message
        assert size_of(pieces) == len(message)


def test_what_remains_is_the_message_that_protobuf_would_make() -> None:
    split = SplitContext.split(context())
    bare, arrays = split_message(context_to_bytes(context()), CONTEXT)
    assert bare == split.to_bytes()
    assert arrays.is_large == split.arrays.is_large
    assert [bytes(part) for part in arrays.contents] == list(split.arrays.contents)
    assert context_from_bytes(bare) == split.context
    assert split.join() == context()


def test_packing_does_not_change_the_context() -> None:
    before = context()
    SplitContext.split(before)
    assert before == context()


def test_a_context_without_arrays_or_state() -> None:
    for message in (
        b"",
        context_to_proto(Context(1, 2, {}, RecordDict(), {})).SerializeToString(),
    ):
        bare, arrays = split_message(message, CONTEXT)
        assert (bare, arrays) == (message, LargeArrays(b"", []))
        assert joined(join_message(bare, CONTEXT, arrays)) == message


def test_fields_of_every_kind_are_left_alone() -> None:
    # A varint, 8 bytes, 4 bytes and a string, numbered 100 to 103: from a Flower to come.
    unknown = b"\xa0\x06\x96\x01" + b"\xa9\x06" + b"8" * 8 + b"\xb5\x06" + b"4" * 4
    unknown += b"\xba\x06\x03abc"
    message = context_to_proto(context()).SerializeToString() + unknown
    bare, arrays = split_message(message, CONTEXT)
    assert bare.endswith(unknown)
    assert joined(join_message(bare, CONTEXT, arrays)) == message


def test_a_broken_message_is_refused_or_taken_as_it_is() -> None:
    whole = context_to_proto(context()).SerializeToString()
    generator = np.random.default_rng(1)
    for _ in range(2000):
        message = bytearray(whole[: generator.integers(1, len(whole))])
        for _ in range(generator.integers(3)):
            message[generator.integers(min(200, len(message)))] = generator.integers(256)
        try:
            bare, arrays = split_message(memoryview(message), CONTEXT)
        except ValueError:
            continue
        # Lengths may be written with more bytes than they need: protobuf's reading decides.
        again = joined(join_message(bare, CONTEXT, arrays))
        assert len(again) <= len(message)


def test_an_array_with_two_contents_is_refused() -> None:
    proto = context_to_proto(context())
    array = proto.state.items[0].array_record.items[0].value.SerializeToString()
    twice = array + array
    item = b"\x12" + _length(twice) + twice
    record = b"\x0a" + _length(item) + item
    entry = b"\x12" + _length(record) + record
    state = b"\x0a" + _length(entry) + entry
    with pytest.raises(ValueError, match="two contents"):
        split_message(b"\x22" + _length(state) + state, CONTEXT)


def _length(content: bytes) -> bytes:
    return bytes(
        [len(content) & 0x7F | 0x80, len(content) >> 7 & 0x7F | 0x80, len(content) >> 14]
    )


def test_arrays_that_do_not_fit_are_noticed() -> None:
    split = SplitContext.split(context())
    split.check()
    for arrays in (
        LargeArrays(),
        LargeArrays(split.arrays.is_large[1:], split.arrays.contents),
        LargeArrays(b"\0" * 6, [b""]),
    ):
        with pytest.raises(ValueError, match="arrays"):
            SplitContext(split.context, arrays).check()


PIECES = st.lists(st.binary(max_size=30).flatmap(lambda b: st.sampled_from([b, memoryview(b)])))


@given(PIECES, st.integers(1, 12))
def test_chunks_hold_the_same_bytes(pieces: list[bytes | memoryview], size: int) -> None:
    chunks = list(in_chunks(pieces, size))
    assert joined(chunks) == joined(pieces)
    assert all(0 < len(chunk) <= size for chunk in chunks)


def test_small_pieces_are_gathered() -> None:
    assert list(in_chunks([b"a", b"bc"] * 3, 4)) == [b"abca", b"bca", b"bc"]
    assert list(in_chunks([b"a"] * 9, 4)) == [b"aaaa", b"aaaa", b"a"]


def test_chunks_of_a_large_piece_are_not_copied() -> None:
    array = bytes(range(40))
    chunks = list(in_chunks([b"ab", array, b"c"], 16))
    assert [len(chunk) for chunk in chunks] == [2, 16, 16, 8, 1]
    assert all(isinstance(c, memoryview) and c.obj is array for c in chunks[1:4])
