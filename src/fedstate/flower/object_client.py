"""A client of the Runtime API that moves many objects in one request where the server can."""

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

# The requests that flwr's own functions make for each object, and the client that sends them.
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import BATCH_BYTES


class BatchingRuntimeClient(RuntimeHttpClient):
    """flwr's client of the Runtime API, with its requests for objects gathered.

    flwr's functions pull and push a message with one call for the message and one for each
    object. Here the first call for an object brings all along that were announced with it, so
    that the calls that follow find them here; and pushed objects are gathered until the last one,
    whose call sends them all and fails if any of them was not stored.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        super().__init__(base_url, **options)
        self.extra_routes = ExtraRoutes(self)
        self._lock = threading.Lock()
        self._announced: dict[str, list[str]] = {}
        self._together: list[str] = []
        self._pulled: dict[str, PullObjectResponse] = {}
        self._gathered: dict[str, _Gathered] = {}

    def PullMessages(  # noqa: N802
        self, request: PullAppMessagesRequest
    ) -> PullAppMessagesResponse:
        """Pull messages, and note which objects belong together."""
        response = super().PullMessages(request)
        self.announce(response)
        return response

    def announce(
        self,
        response: PullAppMessagesResponse,
        here: Mapping[str, PullObjectResponse] = MappingProxyType({}),
    ) -> None:
        """Note which objects belong together; some of them may be here already."""
        announced: dict[str, list[str]] = {}
        for tree in response.message_object_trees:
            ids = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
            if not all(each in here for each in ids):
                announced |= dict.fromkeys(ids, ids)
        with self._lock:
            self._announced, self._pulled = announced, dict(here)
            self._together = [each for each in announced if each not in here]

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802
        """Pull an object, and with the first one all others that were announced with it.

        A message that was still on its way then is pulled as a whole when its turn comes.
        """
        object_id = request.object_id
        with self._lock:
            if self._together:
                together, self._together = self._together, []
                self._forget(self._pull(request, together))
            if object_id in self._announced:
                together = self._announced[object_id]
                self._pull(request, together)
                self._forget(together)
            here = self._pulled.pop(object_id, None)
        return super().PullObject(request) if here is None else here

    def _pull(self, request: PullObjectRequest, object_ids: list[str]) -> Iterable[str]:
        found = self.extra_routes.pull(
            paths.RUNTIME_PULL, request.node, request.run_id, object_ids
        )
        self._pulled |= found
        return found

    def _forget(self, object_ids: Iterable[str]) -> None:
        """Do not ask in batches again for the messages that these belong to."""
        for object_id in object_ids:
            for of_same_message in self._announced.get(object_id, []):
                self._announced.pop(of_same_message, None)

    def PushMessages(  # noqa: N802
        self, request: PushAppMessagesRequest
    ) -> PushAppMessagesResponse:
        """Push messages, and note which objects are to follow."""
        response = super().PushMessages(request)
        if response.objects_to_push:
            with self._lock:
                self._gathered[response.session_id] = _Gathered(set(response.objects_to_push))
        return response

    def PushObject(self, request: PushObjectRequest) -> PushObjectResponse:  # noqa: N802
        """Push an object, together with others; the call with the last one sends them all."""
        with self._lock:
            gathered = self._gathered.get(request.session_id)
            if gathered is None or self.extra_routes.lacks(paths.RUNTIME_PUSH):
                due = [request]
            else:
                due = gathered.add(request)
                if not gathered.awaited:
                    del self._gathered[request.session_id]
        return PushObjectResponse(stored=self._push(due))

    def _push(self, due: list[PushObjectRequest]) -> bool:
        if len(due) > 1:
            objects = {each.object_id: each.object_content for each in due}
            stored = self.extra_routes.push(
                paths.RUNTIME_PUSH, due[0].node, due[0].run_id, due[0].session_id, objects
            )
            if stored is not None:
                return all(stored)
        # A loop that ends at the first failure, as flwr's does.
        return all(super(BatchingRuntimeClient, self).PushObject(each).stored for each in due)


class _Gathered:
    """The objects of one push that wait to be sent together."""

    def __init__(self, awaited: set[str]) -> None:
        self.awaited = awaited
        self._kept: list[PushObjectRequest] = []
        self._size = 0

    def add(self, request: PushObjectRequest) -> list[PushObjectRequest]:
        """Add an object; return those that are to be sent now."""
        self.awaited.discard(request.object_id)
        if self.awaited and len(request.object_content) >= BATCH_BYTES:
            return [request]
        self._kept.append(request)
        self._size += len(request.object_content)
        if self.awaited and self._size < BATCH_BYTES:
            return []
        due, self._kept, self._size = self._kept, [], 0
        return due
