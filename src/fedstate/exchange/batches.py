"""Objects in batches: at once where the server's state can, one by one where it cannot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

# flwr's messages and state for one object.
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.server.superlink.linkstate import LinkState

from fedstate.exchange.messages import (
    BATCH_BYTES,
    PullObjectsResponse,
    PushObjectsResponse,
)


@runtime_checkable
class Batches(Protocol):
    """A state that takes and gives many objects at once."""

    def store_objects(
        self, run_id: int, session_id: str, contents: Mapping[str, bytes]
    ) -> set[str]:
        """Store the objects for which the session waits; return which were stored."""

    def get_objects(self, run_id: int, object_ids: Sequence[str]) -> list[bytes | None]:
        """Return the contents of the first of these objects, as many as one answer may carry.

        The content is None of an object that is not registered, and empty of one that is not
        there yet or is to be pulled alone.
        """


def pull(
    request: Any,
    run_id: int,
    state: object,
    pull_one: Callable[[PullObjectRequest], PullObjectResponse],
) -> Any:
    """Answer a batch of pulls, up to a bound on the answer's size."""
    if not isinstance(state, Batches):
        return _pull_each(request, pull_one)
    return PullObjectsResponse(
        objects=[
            PullObjectResponse(
                object_found=content is not None,
                object_available=bool(content),
                object_content=content or b"",
            )
            for content in state.get_objects(run_id, request.object_ids)
        ]
    )


def push(
    request: Any,
    run_id: int,
    state: object,
    push_one: Callable[[PushObjectRequest], PushObjectResponse],
) -> Any:
    """Store a batch of objects."""
    if not isinstance(state, Batches):
        return _push_each(request, push_one)
    contents = dict(zip(request.object_ids, request.contents, strict=True))
    stored = state.store_objects(run_id, request.session_id, contents)
    return PushObjectsResponse(stored=[object_id in stored for object_id in request.object_ids])


def store(
    state: LinkState, run_id: int, session_id: str, contents: Mapping[str, bytes]
) -> set[str]:
    """Store the objects for which a session of a SuperLink waits; return which were stored."""
    if isinstance(state, Batches):
        return state.store_objects(run_id, session_id, contents)
    return {
        object_id
        for object_id, content in contents.items()
        if state.store_object(run_id, session_id, object_id, content)
    }


def _pull_each(request: Any, pull_one: Callable[[PullObjectRequest], PullObjectResponse]) -> Any:
    """Answer with flwr's handler for one object.

    A large object is left out, as if it were still on its way, and is pulled alone.
    """
    answer, size = PullObjectsResponse(), 0
    for object_id in request.object_ids:
        one = pull_one(
            PullObjectRequest(node=request.node, run_id=request.run_id, object_id=object_id)
        )
        if len(one.object_content) >= BATCH_BYTES:
            one = PullObjectResponse(object_found=True)
        size += len(one.object_content)
        if size > BATCH_BYTES:
            break
        answer.objects.append(one)
    return answer


def _push_each(request: Any, push_one: Callable[[PushObjectRequest], PushObjectResponse]) -> Any:
    """Store with flwr's handler for one object."""
    answer = PushObjectsResponse()
    for object_id, content in zip(request.object_ids, request.contents, strict=True):
        one = PushObjectRequest(
            node=request.node,
            run_id=request.run_id,
            session_id=request.session_id,
            object_id=object_id,
            object_content=content,
        )
        answer.stored.append(push_one(one).stored)
    return answer
