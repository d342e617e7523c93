"""Contexts, messages and replies as values of the node store.

The bytes of every larger array become a blob of the value, so that the store keeps them by
content: the same weights in the state and in the reply are stored once.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flwr.app import Error, Message

# Flower's wire format: flwr.app has no public way to turn a Message into bytes.
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)

from fedstate.flower.contexts import context_from_bytes
from fedstate.flower.field_numbers import CONTEXT
from fedstate.flower.reply_times import keep_alive
from fedstate.large.context import SplitContext
from fedstate.large.wire import LARGE_ARRAY_BYTES, Buffer, LargeArrays, split_field
from fedstate.store.values import Value
from fedstate.witness.digests import chunk_digests, state_digest

# Enough for the heads of most objects, which are before what is large.
_HEAD_BYTES = 256


def pack(pieces: Iterable[bytes]) -> bytes:
    """Return byte strings as one, each with its length before it."""
    return b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces)


def unpack(packed: bytes) -> Iterator[bytes]:
    """Yield the byte strings that were packed."""
    start = 0
    while start < len(packed):
        (length,) = struct.unpack_from("<I", packed, start)
        yield packed[start + 4 : start + 4 + length]
        start += 4 + length


def encode_context(context: SplitContext) -> Value:
    """Return a Context as a value."""
    proto, large = context.to_bytes(), context.arrays.is_large
    return Value(pack([proto, large]), context.arrays.contents, _described(proto, large))


def describe_state(header: bytes) -> bytes:
    """Return the description of a state, for its digest, from the header of its Context's value.

    The records are taken as they are stored, byte by byte.
    """
    return _described(*unpack(header))


def _described(proto: bytes, large: bytes) -> bytes:
    return pack([b"".join(split_field(proto, CONTEXT[0])[1]), large])


def digest_of(context: SplitContext) -> bytes:
    """Return the digest of a Context's state, computed from the Context itself."""
    large = context.arrays
    description = _described(context.to_bytes(), large.is_large)
    return state_digest(description, map(chunk_digests, large.contents))


def decode_context(value: Value) -> SplitContext:
    """Return the Context that `encode_context` was given."""
    proto, large = unpack(value.header)
    return SplitContext(context_from_bytes(proto), LargeArrays(large, value.blobs))


@dataclass(frozen=True)
class Envelope:
    """A message without its content, and the tree of the objects that its content is made of."""

    message: Message
    tree: ObjectTree

    def to_bytes(self) -> bytes:
        """Return the envelope as bytes."""
        proto = PullMessagesResponse(
            messages_list=[message_to_proto(self.message)], message_object_trees=[self.tree]
        )
        return bytes(proto.SerializeToString())

    @staticmethod
    def from_bytes(content: bytes) -> "Envelope":
        """Return the envelope that `to_bytes` made."""
        proto = PullMessagesResponse.FromString(content)
        return Envelope(message_from_proto(proto.messages_list[0]), proto.message_object_trees[0])

    @property
    def object_ids(self) -> list[str]:
        """The IDs of the objects, each once, children before parents."""
        return list(dict.fromkeys(node.object_id for node in iterate_object_tree(self.tree)))


class ReplyObjects(Mapping[str, bytes]):
    """The objects of a reply, where they are; each is copied into memory when it is asked for.

    Parameters
    ----------
    views : mapping of str to bytes or memoryview
        Their contents.
    """

    def __init__(self, views: Mapping[str, Buffer]) -> None:
        self.views = views

    def __getitem__(self, object_id: str) -> bytes:
        """Return the content of an object."""
        return bytes(self.views[object_id])

    def __iter__(self) -> Iterator[str]:
        """Yield the IDs of the objects."""
        return iter(self.views)

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self.views)


def encode_reply(envelope: Envelope, objects: Mapping[str, bytes]) -> Value:
    """Return a reply and its objects as a value; what is large is not copied."""
    views = objects.views if isinstance(objects, ReplyObjects) else objects
    pieces = [envelope.to_bytes()]
    parts: list[memoryview] = []
    for object_id in envelope.object_ids:
        content = memoryview(views[object_id])
        if content.nbytes < LARGE_ARRAY_BYTES:
            pieces.append(b"i" + content)
            continue
        # Without its head a chunk of an array is the same bytes as in a Context.
        body = _body_start(content)
        pieces.append(b"p" + content[:body])
        parts.append(content[body:])
    return Value(pack(pieces), parts)


def _body_start(content: memoryview) -> int:
    """Return where the head of an object ends."""
    for size in (_HEAD_BYTES, content.nbytes):
        head, divider, _ = bytes(content[:size]).partition(HEAD_BODY_DIVIDER)
        if divider:
            return len(head) + len(divider)
    raise ValueError("an object has no head")


def decode_reply(value: Value) -> tuple[Envelope, dict[str, bytes]]:
    """Return the reply and the objects that `encode_reply` was given."""
    first, *pieces = unpack(value.header)
    envelope = Envelope.from_bytes(first)
    parts = iter(value.blobs)
    objects = {
        object_id: piece[1:] + (bytes(next(parts)) if piece[:1] == b"p" else b"")
        for object_id, piece in zip(envelope.object_ids, pieces, strict=True)
    }
    return envelope, objects


def error_reply(message: Message, error: Error) -> tuple[Envelope, dict[str, bytes]]:
    """Return the error as a reply to a message, and its objects."""
    reply = Message(error, reply_to=message)
    keep_alive(reply)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    with no_object_id_recompute():
        objects = {key: each.deflate() for key, each in get_all_nested_objects(reply).items()}
        return Envelope(reply, get_object_tree(reply)), objects
