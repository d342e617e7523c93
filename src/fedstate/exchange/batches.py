"""Objects in batches: many at once where the server's state can, one by one where it cannot."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from fedstate.exchange.messages import (
    BATCH_BYTES,
    BESIDE_BYTES,
    PullObjectsResponse,
    PushObjectsResponse,
)
from fedstate.flower.object_answers import pulled_objects
from fedstate.flower.routing import malformed_request
from fedstate.objects.contents import Arrived, Content, DamagedContentError, in_memory
from fedstate.objects.streaming import current_transfer


class RunObjects(Protocol):
    """The objects of one run.

    A content is None if its object is not registered. It is empty if the object has not arrived
    yet, and from `get_many` also if it is too large for a batch and is to be pulled alone. At a
    SuperLink, a large one is in a file, whichever way it goes.
    """

    def get(self, object_id: str) -> Content | None:
        """Return the content of an object."""

    def put(self, session_id: str, object_id: str, content: bytes | Arrived) -> bool:
        """Store an object that a session waits for; return whether it was stored."""

    def get_many(self, object_ids: Sequence[str]) -> list[Content | None] | None:
        """Return the contents of the first of these objects, as many as one answer may carry.

        None if the state has no way to read many objects at once.
        """

    def awaited(self, object_ids: Sequence[str]) -> set[str]:
        """Return those objects that somebody is sending; none if the state does not tell."""

    def put_many(
        self, session_id: str, contents: Mapping[str, bytes | Arrived]
    ) -> set[str] | None:
        """Store objects that a session waits for; return the IDs of those that were stored.

        None if the state has no way to store many objects at once.
        """


def wanted(request: Any, objects: RunObjects) -> tuple[list[Content | None], bool]:
    """Return the contents for the answer to a `PullObjectsRequest`, up to a bound on its size.

    Returns
    -------
    tuple of list and bool
        The contents, and whether all of these objects are still to come.
    """
    contents = _contents(objects, request.object_ids)
    if any(content or content is None for content in contents):
        return contents, False
    ids = set(request.object_ids[: len(contents)])
    if objects.awaited(list(ids)) >= ids:
        return contents, True
    # One that is no longer awaited may have come in between.
    return _contents(objects, request.object_ids), False


def answer(contents: Sequence[Content | None]) -> PullObjectsResponse:
    """Return the answer with contents."""
    answered: PullObjectsResponse = pulled_objects(contents)
    return answered


def available(objects: RunObjects, object_ids: Sequence[str]) -> dict[str, bytes]:
    """Return those of the first of these objects that are there and go beside their message.

    One whose file is damaged, or cannot be read, is left out: whoever pulls it alone is told so.
    """
    found: dict[str, bytes] = {}
    size = 0
    for object_id, content in zip(object_ids, _contents(objects, object_ids), strict=False):
        size += len(content or b"")
        if size > BESIDE_BYTES:
            break
        if content:
            with contextlib.suppress(DamagedContentError, OSError):
                found[object_id] = in_memory(content)
    return found


def push(request: Any, objects: RunObjects) -> PushObjectsResponse:
    """Answer a `PushObjectsRequest`."""
    return pushed(request, store(objects, request.session_id, contents_of(request)))


def pushed(request: Any, stored: Collection[str]) -> PushObjectsResponse:
    """Return the answer to a `PushObjectsRequest` of which these objects were stored."""
    return PushObjectsResponse(stored=[object_id in stored for object_id in request.object_ids])


def contents_of(request: Any) -> dict[str, bytes | Arrived]:
    """Return the objects that come with a request, by ID."""
    ids, contents = len(request.object_ids), len(request.contents)
    if ids != contents:
        raise malformed_request(f"The request has {ids} object IDs and {contents} contents.")
    streamed = transfer.arrived if (transfer := current_transfer()) else {}
    return {
        object_id: streamed.get(index, content)
        for index, (object_id, content) in enumerate(
            zip(request.object_ids, request.contents, strict=True)
        )
    }


def store(
    objects: RunObjects, session_id: str, contents: Mapping[str, bytes | Arrived]
) -> set[str]:
    """Store objects that a session waits for; return the IDs of those that were stored."""
    stored = objects.put_many(session_id, contents)
    if stored is not None:
        return stored
    return {
        object_id
        for object_id, content in contents.items()
        if objects.put(session_id, object_id, content)
    }


def _contents(objects: RunObjects, object_ids: Sequence[str]) -> list[Content | None]:
    contents = objects.get_many(object_ids)
    return _get_each(objects, object_ids) if contents is None else contents


def _get_each(objects: RunObjects, object_ids: Sequence[str]) -> list[Content | None]:
    contents: list[Content | None] = []
    size = 0
    for object_id in object_ids:
        content = objects.get(object_id)
        if content is not None and len(content) >= BATCH_BYTES:
            content = b""
        size += len(content or b"")
        if size > BATCH_BYTES:
            break
        contents.append(content)
    return contents
