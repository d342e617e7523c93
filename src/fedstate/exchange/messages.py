"""The messages of our own routes, and how much of a large batch one of them may carry."""

from fedstate.flower.proto.evidence_pb2 import (
    Deliveries,
    Delivery,
    EvidencePage,
    EvidenceRequest,
    NodeLog,
    StoredReceipt,
    StoredReceipts,
)
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
    "BESIDE_BYTES",
    "DELIVERY_COLUMNS",
    "Deliveries",
    "Delivery",
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
    "StoredReceipt",
    "StoredReceipts",
    "TakeRepliesRequest",
    "TakeRepliesResponse",
    "TakeRequest",
    "TakeResponse",
    "WaitRequest",
    "WaitResponse",
]

# The fields of `Delivery` but the run, and the columns of `Deliveries` that have them.
DELIVERY_COLUMNS = {
    "node_id": "node_ids",
    "message_id": "message_ids",
    "group_id": "group_ids",
    "action": "actions",
    "delivered_at": "delivered_at",
    "answered_at": "answered_at",
    "reply_id": "reply_ids",
    "failed": "failed",
}

# How many bytes of contents one request or answer may carry beside its first object. A SuperLink
# streams them; whoever else is at either end has a batch in memory. A request costs a SuperLink
# some 10 ms, and arrays come in objects of 5 MiB.
BATCH_BYTES = 32 * 1024 * 1024
# As much of a message's content comes with it, from memory. A larger one is pulled, and streamed.
BESIDE_BYTES = 4 * 1024 * 1024
