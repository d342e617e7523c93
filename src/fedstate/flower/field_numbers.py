"""The numbers of the fields that lead from one of flwr's messages to each of its arrays."""

from typing import Any

# Flower's messages, whose descriptors have the numbers.
from flwr.proto.message_pb2 import Context
from flwr.proto.recorddict_pb2 import Array, ArrayRecord, RecordDict
from flwr.proto.runtime_pb2 import PullTaskInputResponse, PushTaskOutputRequest


def _number(message: Any, field: str) -> int:
    return int(message.DESCRIPTOR.fields_by_name[field].number)


CONTEXT = (
    _number(Context, "state"),
    _number(RecordDict, "items"),
    _number(RecordDict.Item, "array_record"),
    _number(ArrayRecord, "items"),
    _number(ArrayRecord.Item, "value"),
)
TASK_INPUT = (_number(PullTaskInputResponse, "context"), *CONTEXT)
TASK_OUTPUT = (_number(PushTaskOutputRequest, "context"), *CONTEXT)

# From there to the bytes of the array.
ARRAY_DATA = _number(Array, "data")
