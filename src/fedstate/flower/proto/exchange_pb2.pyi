from flwr.proto import fleet_pb2 as _fleet_pb2
from flwr.proto import message_pb2 as _message_pb2
from flwr.proto import node_pb2 as _node_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PullObjectsRequest(_message.Message):
    __slots__ = ("node", "run_id", "object_ids")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    run_id: int
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., run_id: _Optional[int] = ..., object_ids: _Optional[_Iterable[str]] = ...) -> None: ...

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
    __slots__ = ("node", "push", "object_ids", "contents", "confirm")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    push: _fleet_pb2.PushMessagesRequest
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    contents: _containers.RepeatedScalarFieldContainer[bytes]
    confirm: bool
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., push: _Optional[_Union[_fleet_pb2.PushMessagesRequest, _Mapping]] = ..., object_ids: _Optional[_Iterable[str]] = ..., contents: _Optional[_Iterable[bytes]] = ..., confirm: bool = ...) -> None: ...

class PushReplyResponse(_message.Message):
    __slots__ = ("push", "stored")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    push: _fleet_pb2.PushMessagesResponse
    stored: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, push: _Optional[_Union[_fleet_pb2.PushMessagesResponse, _Mapping]] = ..., stored: _Optional[_Iterable[str]] = ...) -> None: ...

class WaitRequest(_message.Message):
    __slots__ = ("node", "seen", "seconds", "task_ids", "until", "run_ids", "ends")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    seen: int
    seconds: float
    task_ids: _containers.RepeatedScalarFieldContainer[int]
    until: int
    run_ids: _containers.RepeatedScalarFieldContainer[int]
    ends: int
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., seen: _Optional[int] = ..., seconds: _Optional[float] = ..., task_ids: _Optional[_Iterable[int]] = ..., until: _Optional[int] = ..., run_ids: _Optional[_Iterable[int]] = ..., ends: _Optional[int] = ...) -> None: ...

class WaitResponse(_message.Message):
    __slots__ = ("count", "ended_task_ids", "ended_run_ids", "ends")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ENDED_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDED_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    count: int
    ended_task_ids: _containers.RepeatedScalarFieldContainer[int]
    ended_run_ids: _containers.RepeatedScalarFieldContainer[int]
    ends: int
    def __init__(self, count: _Optional[int] = ..., ended_task_ids: _Optional[_Iterable[int]] = ..., ended_run_ids: _Optional[_Iterable[int]] = ..., ends: _Optional[int] = ...) -> None: ...
