"""The messages of our own routes, and how much of a large batch one of them may carry."""

from fedstate.flower.proto.evidence_pb2 import EvidencePage, EvidenceRequest, NodeLog
from fedstate.flower.proto.exchange_pb2 import (
    LogRequest,
    PullObjectsRequest,
    PullObjectsResponse,
    PushLogRequest,
    PushLogResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    PushReplyRequest,
    PushReplyResponse,
    RunLog,
    SendMessagesRequest,
    SendMessagesResponse,
    TakeRepliesRequest,
    TakeRepliesResponse,
    TakeRequest,
    TakeResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.proto.nodes_pb2 import (
    ReplaceNodeKeyRequest,
    ReplaceNodeKeyResponse,
    RestoreNodeRequest,
    RestoreNodeResponse,
)

__all__ = [
    "BATCH_BYTES",
    "EvidencePage",
    "EvidenceRequest",
    "LogRequest",
    "NodeLog",
    "PullObjectsRequest",
    "PullObjectsResponse",
    "PushLogRequest",
    "PushLogResponse",
    "PushObjectsRequest",
    "PushObjectsResponse",
    "PushReplyRequest",
    "PushReplyResponse",
    "ReplaceNodeKeyRequest",
    "ReplaceNodeKeyResponse",
    "RestoreNodeRequest",
    "RestoreNodeResponse",
    "RunLog",
    "SendMessagesRequest",
    "SendMessagesResponse",
    "TakeRepliesRequest",
    "TakeRepliesResponse",
    "TakeRequest",
    "TakeResponse",
    "WaitRequest",
    "WaitResponse",
]

# How many bytes of contents one request or answer may carry beside its first object: copies of a
# large batch would cost more than the requests that it saves.
BATCH_BYTES = 4 * 1024 * 1024
