"""Contexts and replies keep every bit on their way through the store's values."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from fedstate.flower.stored_values import (
    Envelope,
    decode_context,
    decode_reply,
    describe_state,
    digest_of,
    encode_context,
    encode_reply,
    pack,
    unpack,
)
from fedstate.large.context import SplitContext
from fedstate.store.values import Value
from fedstate.witness import EMPTY_STATE, chunk_digests, state_digest

LARGE = np.random.default_rng(0).standard_normal((100, 100))


def context(state: RecordDict) -> Context:
    return Context(2**64 - 1, 2**63, {"partition-id": 0}, state, {"rate": 0.5}, 7)


def test_a_context_comes_back_as_it_was() -> None:
    state = RecordDict(
        {
            "weights": ArrayRecord([LARGE, np.zeros(0), np.arange(3), LARGE * 2]),
            "none": ArrayRecord([]),
            "history": MetricRecord({"loss": [0.5, 0.25], "step": 3}),
            "config": ConfigRecord({"name": "x", "raw": b"\0\1" * 5000, "flags": [True]}),
        }
    )
    value = encode_context(SplitContext.split(context(state)))
    assert len(value.blobs) == 2
    again = decode_context(value).join()
    assert again == context(state)
    assert again.state.object_id == state.object_id


def test_encoding_does_not_change_the_context() -> None:
    state = RecordDict({"weights": ArrayRecord([LARGE])})
    before = context(state)
    encode_context(SplitContext.split(before))
    np.testing.assert_array_equal(before.state["weights"].to_numpy_ndarrays()[0], LARGE)  # type: ignore[union-attr]


def states() -> dict[str, RecordDict]:
    """Return states no two of which are equal."""
    small = np.arange(3)
    return {
        "empty": RecordDict(),
        "a large array": RecordDict({"a": ArrayRecord([LARGE])}),
        "another type": RecordDict({"a": ArrayRecord([LARGE.astype(np.float32)])}),
        "another shape": RecordDict({"a": ArrayRecord([LARGE.reshape(50, 200)])}),
        "another name": RecordDict({"b": ArrayRecord([LARGE])}),
        "two of them": RecordDict({"a": ArrayRecord([LARGE, LARGE])}),
        "a small one": RecordDict({"a": ArrayRecord([small])}),
        "a number": RecordDict({"a": MetricRecord({"n": 1})}),
        "text": RecordDict({"a": ConfigRecord({"n": "1"})}),
        "none": RecordDict({"a": ArrayRecord([])}),
    }


def test_no_two_states_have_one_digest() -> None:
    digests = {
        name: digest_of(SplitContext.split(context(each))) for name, each in states().items()
    }
    assert len(set(digests.values())) == len(digests)
    assert digests["empty"] == EMPTY_STATE


@pytest.mark.parametrize("name", states())
def test_a_digest_is_over_the_state_and_nothing_else(name: str) -> None:
    """Neither the run nor the node, nor what they are configured with, is in it."""
    here = SplitContext.split(context(states()[name]))
    elsewhere = SplitContext.split(Context(1, 2, {"x": 1}, states()[name], {"y": 2.0}, 3))
    assert digest_of(here) == digest_of(elsewhere)


@pytest.mark.parametrize("name", states())
def test_the_digest_is_that_of_the_stored_bytes(name: str) -> None:
    split = SplitContext.split(context(states()[name]))
    value = encode_context(split)
    stored = state_digest(describe_state(value.header), map(chunk_digests, value.blobs))
    assert digest_of(split) == stored
    assert value.description == describe_state(value.header)
    again = decode_context(Value(value.header, [bytes(each) for each in value.blobs]))
    assert digest_of(again) == stored


def reply() -> tuple[Envelope, dict[str, bytes]]:
    content = RecordDict({"a": ArrayRecord([LARGE, LARGE, np.ones(2)])})
    metadata = Metadata(1, "", 2, 3, "replied-to", "4", 1000.0, 10.0, "train")
    message = make_message(metadata=metadata, content=content)
    message.metadata.__dict__["_message_id"] = message.object_id
    objects = {key: each.deflate() for key, each in get_all_nested_objects(message).items()}
    return Envelope(message, get_object_tree(message)), objects


def test_a_reply_comes_back_as_it_was() -> None:
    envelope, objects = reply()
    again, contents = decode_reply(encode_reply(envelope, objects))
    assert contents == objects
    assert again.message.metadata == envelope.message.metadata
    assert again.tree == envelope.tree


def test_the_same_weights_in_state_and_reply_are_the_same_blobs() -> None:
    state = context(RecordDict({"weights": ArrayRecord([LARGE])}))
    (blob,) = encode_context(SplitContext.split(state)).blobs
    assert bytes(blob) in [bytes(each) for each in encode_reply(*reply()).blobs]


def test_a_reply_with_a_missing_object_is_not_encoded() -> None:
    envelope, objects = reply()
    objects.popitem()
    with pytest.raises(KeyError):
        encode_reply(envelope, objects)


@pytest.mark.parametrize("pieces", [[], [b""], [b"a", b"", b"bc" * 1000]])
def test_pieces_are_unpacked_as_they_were_packed(pieces: list[bytes]) -> None:
    assert list(unpack(pack(pieces))) == pieces
