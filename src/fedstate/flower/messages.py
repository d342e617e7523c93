"""flwr's wire messages that our own messages carry."""

# Part of the protocol itself: a wrapper would only be another name for the same bytes.
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.node_pb2 import Node

__all__ = ["Node", "PullObjectResponse"]
