"""What the lines of a step are about: the round and the message, as the ServerApp named them."""

# A message without its content.
from flwr.proto.message_pb2 import Message as MessageProto
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]


def step_labels(content: bytes) -> dict[str, str]:
    """Return the labels of a message's lines: node, round and message, where they are named.

    Parameters
    ----------
    content : bytes
        The message without its content, as a task's process has sent it; it may be anything.
    """
    try:
        metadata = MessageProto.FromString(content).metadata
    except DecodeError:
        return {}
    labels = {
        "node": str(metadata.dst_node_id or ""),
        "round": metadata.group_id,
        "message": metadata.message_id,
    }
    return {name: value for name, value in labels.items() if value}
