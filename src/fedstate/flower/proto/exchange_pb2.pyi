from flwr.proto import fleet_pb2 as _fleet_pb2
from flwr.proto import message_pb2 as _message_pb2
from flwr.proto import node_pb2 as _node_pb2
from flwr.proto import runtime_pb2 as _runtime_pb2
from fedstate.witness import witness_pb2 as _witness_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PullObjectsRequest(_message.Message):
    __slots__ = ("node", "run_id", "object_ids", "seconds")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    run_id: int
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    seconds: float
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., run_id: _Optional[int] = ..., object_ids: _Optional[_Iterable[str]] = ..., seconds: _Optional[float] = ...) -> None: ...

class PullObjectsResponse(_message.Message):
    __slots__ = ("objects",)
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[_message_pb2.PullObjectResponse]
    def __init__(self, objects: _Optional[_Iterable[_Union[_message_pb2.PullObjectResponse, _Mapping]]] = ...) -> None: ...

class PushObjectsRequest(_message.Message):
    __slots__ = ("node", "run_id", "session_id", "object_ids", "contents")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    run_id: int
    session_id: str
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    contents: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., run_id: _Optional[int] = ..., session_id: _Optional[str] = ..., object_ids: _Optional[_Iterable[str]] = ..., contents: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PushObjectsResponse(_message.Message):
    __slots__ = ("stored",)
    STORED_FIELD_NUMBER: _ClassVar[int]
    stored: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, stored: _Optional[_Iterable[bool]] = ...) -> None: ...

class PushReplyRequest(_message.Message):
    __slots__ = ("node", "push", "object_ids", "contents", "confirm", "receipt")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    push: _fleet_pb2.PushMessagesRequest
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    contents: _containers.RepeatedScalarFieldContainer[bytes]
    confirm: bool
    receipt: _witness_pb2.Receipt
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., push: _Optional[_Union[_fleet_pb2.PushMessagesRequest, _Mapping]] = ..., object_ids: _Optional[_Iterable[str]] = ..., contents: _Optional[_Iterable[bytes]] = ..., confirm: bool = ..., receipt: _Optional[_Union[_witness_pb2.Receipt, _Mapping]] = ...) -> None: ...

class PushReplyResponse(_message.Message):
    __slots__ = ("push", "stored")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    push: _fleet_pb2.PushMessagesResponse
    stored: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, push: _Optional[_Union[_fleet_pb2.PushMessagesResponse, _Mapping]] = ..., stored: _Optional[_Iterable[str]] = ...) -> None: ...

class WaitRequest(_message.Message):
    __slots__ = ("node", "seen", "seconds", "task_ids", "until", "run_ids", "ends", "answers_log_requests")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_LOG_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    seen: int
    seconds: float
    task_ids: _containers.RepeatedScalarFieldContainer[int]
    until: int
    run_ids: _containers.RepeatedScalarFieldContainer[int]
    ends: int
    answers_log_requests: bool
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., seen: _Optional[int] = ..., seconds: _Optional[float] = ..., task_ids: _Optional[_Iterable[int]] = ..., until: _Optional[int] = ..., run_ids: _Optional[_Iterable[int]] = ..., ends: _Optional[int] = ..., answers_log_requests: bool = ...) -> None: ...

class WaitResponse(_message.Message):
    __slots__ = ("count", "ended_task_ids", "ended_run_ids", "ends", "tells_all_tasks", "log_requests")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ENDED_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDED_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    TELLS_ALL_TASKS_FIELD_NUMBER: _ClassVar[int]
    LOG_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    count: int
    ended_task_ids: _containers.RepeatedScalarFieldContainer[int]
    ended_run_ids: _containers.RepeatedScalarFieldContainer[int]
    ends: int
    tells_all_tasks: bool
    log_requests: _containers.RepeatedCompositeFieldContainer[LogRequest]
    def __init__(self, count: _Optional[int] = ..., ended_task_ids: _Optional[_Iterable[int]] = ..., ended_run_ids: _Optional[_Iterable[int]] = ..., ends: _Optional[int] = ..., tells_all_tasks: bool = ..., log_requests: _Optional[_Iterable[_Union[LogRequest, _Mapping]]] = ...) -> None: ...

class TakeRequest(_message.Message):
    __slots__ = ("node", "seconds", "heartbeat_interval", "run_ids", "answers_log_requests", "again", "have")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_LOG_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    seconds: float
    heartbeat_interval: float
    run_ids: _containers.RepeatedScalarFieldContainer[int]
    answers_log_requests: bool
    again: bool
    have: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., seconds: _Optional[float] = ..., heartbeat_interval: _Optional[float] = ..., run_ids: _Optional[_Iterable[int]] = ..., answers_log_requests: bool = ..., again: bool = ..., have: _Optional[_Iterable[str]] = ...) -> None: ...

class TakeResponse(_message.Message):
    __slots__ = ("known", "pulled", "object_ids", "contents", "ended_run_ids", "ends", "log_requests")
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    PULLED_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    ENDED_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    LOG_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    known: bool
    pulled: _fleet_pb2.PullMessagesResponse
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    contents: _containers.RepeatedScalarFieldContainer[bytes]
    ended_run_ids: _containers.RepeatedScalarFieldContainer[int]
    ends: int
    log_requests: _containers.RepeatedCompositeFieldContainer[LogRequest]
    def __init__(self, known: bool = ..., pulled: _Optional[_Union[_fleet_pb2.PullMessagesResponse, _Mapping]] = ..., object_ids: _Optional[_Iterable[str]] = ..., contents: _Optional[_Iterable[bytes]] = ..., ended_run_ids: _Optional[_Iterable[int]] = ..., ends: _Optional[int] = ..., log_requests: _Optional[_Iterable[_Union[LogRequest, _Mapping]]] = ...) -> None: ...

class SendMessagesRequest(_message.Message):
    __slots__ = ("node", "push", "object_ids", "contents", "confirmed")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    push: _runtime_pb2.PushAppMessagesRequest
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    contents: _containers.RepeatedScalarFieldContainer[bytes]
    confirmed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., push: _Optional[_Union[_runtime_pb2.PushAppMessagesRequest, _Mapping]] = ..., object_ids: _Optional[_Iterable[str]] = ..., contents: _Optional[_Iterable[bytes]] = ..., confirmed: _Optional[_Iterable[str]] = ...) -> None: ...

class SendMessagesResponse(_message.Message):
    __slots__ = ("push", "stored")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    push: _runtime_pb2.PushAppMessagesResponse
    stored: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, push: _Optional[_Union[_runtime_pb2.PushAppMessagesResponse, _Mapping]] = ..., stored: _Optional[_Iterable[str]] = ...) -> None: ...

class TakeRepliesRequest(_message.Message):
    __slots__ = ("node", "message_ids", "seconds", "gather_share", "gather_seconds", "sent_ago", "confirmed", "number", "received")
    NODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    GATHER_SHARE_FIELD_NUMBER: _ClassVar[int]
    GATHER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SENT_AGO_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    seconds: float
    gather_share: float
    gather_seconds: float
    sent_ago: float
    confirmed: _containers.RepeatedScalarFieldContainer[str]
    number: int
    received: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., message_ids: _Optional[_Iterable[str]] = ..., seconds: _Optional[float] = ..., gather_share: _Optional[float] = ..., gather_seconds: _Optional[float] = ..., sent_ago: _Optional[float] = ..., confirmed: _Optional[_Iterable[str]] = ..., number: _Optional[int] = ..., received: _Optional[_Iterable[int]] = ...) -> None: ...

class TakeRepliesResponse(_message.Message):
    __slots__ = ("pulled", "object_ids", "contents")
    PULLED_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    pulled: _runtime_pb2.PullAppMessagesResponse
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    contents: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, pulled: _Optional[_Union[_runtime_pb2.PullAppMessagesResponse, _Mapping]] = ..., object_ids: _Optional[_Iterable[str]] = ..., contents: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LogRequest(_message.Message):
    __slots__ = ("request_id", "run_ids", "after_sequence", "held")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    run_ids: _containers.RepeatedScalarFieldContainer[int]
    after_sequence: int
    held: bool
    def __init__(self, request_id: _Optional[str] = ..., run_ids: _Optional[_Iterable[int]] = ..., after_sequence: _Optional[int] = ..., held: bool = ...) -> None: ...

class PushLogRequest(_message.Message):
    __slots__ = ("node", "request_id", "receipts", "runs", "last", "problem", "store_id", "opening", "generation")
    NODE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    request_id: str
    receipts: _containers.RepeatedCompositeFieldContainer[_witness_pb2.Receipt]
    runs: _containers.RepeatedCompositeFieldContainer[RunLog]
    last: bool
    problem: str
    store_id: str
    opening: bytes
    generation: int
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., request_id: _Optional[str] = ..., receipts: _Optional[_Iterable[_Union[_witness_pb2.Receipt, _Mapping]]] = ..., runs: _Optional[_Iterable[_Union[RunLog, _Mapping]]] = ..., last: bool = ..., problem: _Optional[str] = ..., store_id: _Optional[str] = ..., opening: _Optional[bytes] = ..., generation: _Optional[int] = ...) -> None: ...

class PushLogResponse(_message.Message):
    __slots__ = ("wanted",)
    WANTED_FIELD_NUMBER: _ClassVar[int]
    wanted: bool
    def __init__(self, wanted: bool = ...) -> None: ...

class RunLog(_message.Message):
    __slots__ = ("run_id", "present", "series_id", "complete", "length", "pruned", "anchor", "head", "held", "problem", "held_by")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    SERIES_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    PRUNED_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    HELD_BY_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    present: bool
    series_id: int
    complete: bool
    length: int
    pruned: int
    anchor: bytes
    head: bytes
    held: bytes
    problem: str
    held_by: int
    def __init__(self, run_id: _Optional[int] = ..., present: bool = ..., series_id: _Optional[int] = ..., complete: bool = ..., length: _Optional[int] = ..., pruned: _Optional[int] = ..., anchor: _Optional[bytes] = ..., head: _Optional[bytes] = ..., held: _Optional[bytes] = ..., problem: _Optional[str] = ..., held_by: _Optional[int] = ...) -> None: ...
