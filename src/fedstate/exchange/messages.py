"""The messages of the routes that are ours, described here as a ``.proto`` file would.

They carry flwr's own messages, so the types of the fields are flwr's, and the generated code that
a ``.proto`` file of ours would need is not.
"""

from typing import Any

from flwr.proto.fleet_pb2 import DESCRIPTOR as FLEET
from flwr.proto.message_pb2 import DESCRIPTOR as MESSAGE
from flwr.proto.node_pb2 import DESCRIPTOR as NODE
from google.protobuf import (  # type: ignore[import-untyped]  # it ships none
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "fedstate"

# name: fields, each with its type (a message's name or a type of protobuf); True if it repeats
_MESSAGES: dict[str, dict[str, tuple[str | int, bool]]] = {
    "PullObjectsRequest": {
        "node": (".flwr.proto.Node", False),
        "run_id": (_Field.TYPE_UINT64, False),
        "object_ids": (_Field.TYPE_STRING, True),
    },
    # In the order of the request; the last ones may be missing, to be asked for again.
    "PullObjectsResponse": {"objects": (".flwr.proto.PullObjectResponse", True)},
    "PushObjectsRequest": {
        "node": (".flwr.proto.Node", False),
        "run_id": (_Field.TYPE_UINT64, False),
        "session_id": (_Field.TYPE_STRING, False),
        "object_ids": (_Field.TYPE_STRING, True),
        "contents": (_Field.TYPE_BYTES, True),
    },
    "PushObjectsResponse": {"stored": (_Field.TYPE_BOOL, True)},
    # A reply as flwr's own route takes it, with its objects; if `confirm`, the message that it
    # replies to need not be kept any longer once all of them are stored.
    "PushReplyRequest": {
        "node": (".flwr.proto.Node", False),
        "push": (".flwr.proto.PushMessagesRequest", False),
        "object_ids": (_Field.TYPE_STRING, True),
        "contents": (_Field.TYPE_BYTES, True),
        "confirm": (_Field.TYPE_BOOL, False),
    },
    "PushReplyResponse": {
        "push": (".flwr.proto.PushMessagesResponse", False),
        "stored": (_Field.TYPE_STRING, True),
    },
    # Answered when the count is not `seen`, or has reached `until` if that is given; after
    # `seconds` at the latest.
    "WaitRequest": {
        "node": (".flwr.proto.Node", False),
        "seen": (_Field.TYPE_UINT64, False),
        "seconds": (_Field.TYPE_DOUBLE, False),
        # Of an executor: the tasks that it has under way.
        "task_ids": (_Field.TYPE_UINT64, True),
        "until": (_Field.TYPE_UINT64, False),
    },
    "WaitResponse": {"count": (_Field.TYPE_UINT64, False)},
}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="fedstate/exchange.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[FLEET.name, MESSAGE.name, NODE.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, (kind, repeated)) in enumerate(fields.items(), start=1):
            described = message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            )
            if isinstance(kind, str):
                described.type, described.type_name = _Field.TYPE_MESSAGE, kind
            else:
                described.type = kind
    return file


_pool = descriptor_pool.Default()
_pool.Add(_describe())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


PullObjectsRequest = _class("PullObjectsRequest")
PullObjectsResponse = _class("PullObjectsResponse")
PushObjectsRequest = _class("PushObjectsRequest")
PushObjectsResponse = _class("PushObjectsResponse")
PushReplyRequest = _class("PushReplyRequest")
PushReplyResponse = _class("PushReplyResponse")
WaitRequest = _class("WaitRequest")
WaitResponse = _class("WaitResponse")

# How many bytes of contents one request or answer may carry beside its first object: copies of a
# large batch would cost more than the requests that it saves.
BATCH_BYTES = 4 * 1024 * 1024
