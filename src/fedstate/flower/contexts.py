"""A Context in the form in which Flower moves it between SuperNode and ClientApp."""

from flwr.app import Context

# flwr exports no way to turn a Context into its message and back.
from flwr.common.serde import context_from_proto, context_to_proto
from flwr.proto.message_pb2 import Context as ProtoContext


def context_to_bytes(context: Context) -> bytes:
    """Return a Context as the message that is pushed when a step has ended."""
    data: bytes = context_to_proto(context).SerializeToString(deterministic=True)
    return data


def context_from_bytes(data: bytes) -> Context:
    """Return the Context that a ClientApp is given at the start of a step."""
    return context_from_proto(ProtoContext.FromString(data))
