"""Answers that hand out the contents of objects: flwr's for one, and ours for many.

Protobuf would copy each content into the message, and once more when that becomes bytes. An
answer with large contents is put together in its wire format, with the files or the bytes in it.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

# What flwr answers for one object; ours has one of them for each.
from flwr.proto.message_pb2 import PullObjectResponse

from fedstate.exchange.pulled import CONTENT, OBJECTS
from fedstate.flower.proto.exchange_pb2 import PullObjectsResponse
from fedstate.large.wire import head_of
from fedstate.objects.contents import Content, StoredContent, in_memory
from fedstate.objects.files import LARGE_BYTES
from fedstate.objects.streaming import current_transfer


def pulled_object(content: Content | None) -> Any:
    """Return flwr's answer with one object; that with a file is left to whoever streams it."""
    transfer = current_transfer()
    if isinstance(content, StoredContent) and transfer is not None:
        transfer.answer = _one(content)
        return PullObjectResponse()
    return PullObjectResponse(
        object_found=content is not None,
        object_available=bool(content),
        object_content=in_memory(content or b""),
    )


def pulled_objects(contents: Sequence[Content | None]) -> Any:
    """Return our answer with many objects; a large one is left to whoever streams it."""
    transfer = current_transfer()
    if transfer is not None and any(len(each or b"") >= LARGE_BYTES for each in contents):
        transfer.answer = list(chain.from_iterable(map(_nested, contents)))
        return PullObjectsResponse()
    answer = PullObjectsResponse()
    for content in contents:
        answer.objects.add(
            object_found=content is not None,
            object_available=bool(content),
            object_content=in_memory(content or b""),
        )
    return answer


def _nested(content: Content | None) -> list[Content]:
    pieces = _one(content)
    return [head_of(OBJECTS, sum(map(len, pieces))), *pieces]


def _one(content: Content | None) -> list[Content]:
    """Return a `PullObjectResponse` in pieces."""
    state = PullObjectResponse(
        object_found=content is not None, object_available=bool(content)
    ).SerializeToString()
    return [state, head_of(CONTENT, len(content)), content] if content else [state]
