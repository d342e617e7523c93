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
    encode_context,
    encode_reply,
    pack,
    unpack,
)
from fedstate.large.context import SplitContext

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
