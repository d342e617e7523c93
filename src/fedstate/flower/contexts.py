"""A Context as bytes: the message that Flower moves between SuperNode and ClientApp."""

from flwr.app import Context

# flwr exports no way to turn a Context into its message and back.
from flwr.common.serde import context_from_proto, context_to_proto
from flwr.proto.message_pb2 import Context as ProtoContext


def context_to_bytes(context: Context) -> bytes:
    """Return a Context as bytes, always the same for the same Context."""
    data: bytes = context_to_proto(context).SerializeToString(deterministic=True)
    return data


def context_from_bytes(data: bytes) -> Context:
    """Return the Context that `context_to_bytes` was given."""
    return context_from_proto(ProtoContext.FromString(data))
