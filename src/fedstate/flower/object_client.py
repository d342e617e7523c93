"""A client of the Runtime API that moves many objects in one request where the server can."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from flwr.app import Message
from flwr.app.message import remove_content_from_message

# Of what arrays are made on their way.
from flwr.app.message.arraychunk import ArrayChunk

# A message's wire format.
from flwr.common.serde import message_to_proto

# The requests that flwr's own functions make for each object, and the client that sends them.
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
)

# The tree of objects that a message is, and how flwr pushes them one by one.
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_push_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import push_objects
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    BATCH_BYTES,
    SendMessagesRequest,
    SendMessagesResponse,
)
from fedstate.exchange.pulled import PulledObject
from fedstate.flower.array_objects import pieces_of
from fedstate.flower.object_batches import push_batches


class BatchingRuntimeClient(RuntimeHttpClient):
    """flwr's client of the Runtime API, with its requests for objects gathered.

    flwr's functions pull and push a message with one call for the message and one for each
    object. Here a call for an object that is not here brings as many along of those that were
    announced with it as an answer carries, so that the calls that follow find them here: however
    large all messages are, no more than an answer or two are in memory before they are asked for.
    Messages are pushed by calls of its own, with as many objects in each.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        super().__init__(base_url, **options)
        self.extra_routes = ExtraRoutes(self)
        self._lock = threading.Lock()
        self._announced: dict[str, list[str]] = {}
        # What was announced and not asked for yet, in this order.
        self._together: dict[str, None] = {}
        self._pulled: dict[str, PulledObject] = {}
        self._messages: dict[str, list[str]] = {}
        self._is_late = False
        self._has_asked = False
        self._at_once: set[str] = set()
        self._shared: Counter[str] = Counter()

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
        here: Mapping[str, PulledObject] = MappingProxyType({}),
    ) -> None:
        """Note which objects belong together; some of them may be here already."""
        announced: dict[str, list[str]] = {}
        shared: Counter[str] = Counter()
        for tree in response.message_object_trees:
            ids = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
            shared.update(ids)
            if not all(each in here for each in ids):
                announced |= dict.fromkeys(ids, ids)
        with self._lock:
            self._announced, self._pulled, self._shared = announced, dict(here), shared
            self._together = {each: None for each in announced if each not in here}
            self._messages = dict(announced)
            self._is_late = self._has_asked = False
            self._at_once.clear()

    # Whoever asks reads the fields, which are the same.
    def PullObject(  # type: ignore[override]  # noqa: N802
        self, request: PullObjectRequest
    ) -> PullObjectResponse | PulledObject:
        """Pull an object, and with it others that were announced with it and are not here yet.

        A message that was still on its way then is pulled as a whole when its turn comes.
        """
        object_id = request.object_id
        with self._lock:
            if not (object_id in self._pulled or object_id in self._together):
                ids = self._announced.get(object_id, [])
                self._forget(ids)
                left = [each for each in ids if each not in self._pulled]
                self._together = dict.fromkeys(left) | self._together
            while object_id in self._together:
                self._pull_first(request)
                self._is_late = self._is_late or object_id in self._together
            # Kept for as many messages as have it, and no longer.
            self._shared[object_id] -= 1
            last = self._shared[object_id] <= 0
            here = self._pulled.pop(object_id, None) if last else self._pulled.get(object_id)
        return super().PullObject(request) if here is None else here

    def _pull_first(self, request: PullObjectRequest) -> None:
        """Ask for the first of what was announced.

        Once an object was waited for, for those of its message alone: others that are there would
        all be brought meanwhile, and be in memory before they are asked for.
        """
        own: Iterable[str] = self._together
        if self._is_late:
            own = self._messages.get(request.object_id, [request.object_id])
        ids = {each: None for each in own if each in self._together}
        others = [each for each in self._together if each not in ids]
        found, left = self.extra_routes.pull_first(
            paths.RUNTIME_PULL, request.node, request.run_id, list(ids)
        )
        self._together = dict.fromkeys([*left, *others])
        self._pulled |= found
        self._forget(found)
        size = sum(len(each.object_content) for each in found.values())
        if not self._has_asked and size < BATCH_BYTES and len(found) == len(ids):
            self._at_once |= found.keys()
        self._has_asked = True

    def has_pulled_at_once(self, object_id: str) -> bool:
        """Return whether an object came with all others in one answer of a server of ours."""
        return object_id in self._at_once

    def let_go(self, object_id: str) -> None:
        """Do not keep an object for other messages that have it: whoever asked keeps it."""
        with self._lock:
            self._pulled.pop(object_id, None)

    def _forget(self, object_ids: Iterable[str]) -> None:
        """Do not ask in batches again for the messages that these belong to."""
        for object_id in object_ids:
            for of_same_message in self._announced.get(object_id, []):
                self._announced.pop(of_same_message, None)

    def send_messages(
        self,
        node: Node,
        messages: Sequence[Message],
        objects: Mapping[str, InflatableObject],
        confirmed: Sequence[str] = (),
    ) -> SendMessagesResponse | None:
        """Push messages, with those of their objects that are given, in one request.

        Parameters
        ----------
        node : Node
            The node that the request names.
        messages : sequence of Message
            Messages with their IDs.
        objects : mapping of str to InflatableObject
            Objects that they are made of, which fit into a request.
        confirmed : sequence of str
            Messages that were received and need not be kept.

        Returns
        -------
        SendMessagesResponse or None
            flwr's answer, and which objects were stored; None if the server has no such route,
            and nothing was pushed.
        """
        if self.extra_routes.lacks(paths.RUNTIME_SEND):
            return None
        request = SendMessagesRequest(
            node=node,
            push=PushAppMessagesRequest(
                messages_list=[
                    message_to_proto(remove_content_from_message(each)) for each in messages
                ],
                message_object_trees=[get_object_tree(each) for each in messages],
            ),
            object_ids=list(objects),
            contents=[each.deflate() for each in objects.values()],
            confirmed=confirmed,
        )
        answer: SendMessagesResponse | None = self.extra_routes.call(
            paths.RUNTIME_SEND, request, SendMessagesResponse
        )
        return answer

    def send_whole(
        self, node: Node, run_id: int, messages: Sequence[Message]
    ) -> list[str] | None:
        """Push messages with their objects, which follow in batches if they do not fit beside.

        Returns
        -------
        list of str or None
            The IDs of the messages that were taken, an empty one for each other; None if the
            server has no such route, and nothing was pushed.

        Raises
        ------
        ObjectPushError
            An object was not stored.
        """
        objects = objects_of(messages)
        answer = self.send_messages(node, messages, objects if fit(objects) else {})
        if answer is None:
            return None
        missing = set(answer.push.objects_to_push) - set(answer.stored)
        left = {key: each for key, each in objects.items() if key in missing}
        del objects
        if left:
            self._push(node, run_id, answer.push.session_id, left)
        return list(answer.push.message_ids)

    def _push(
        self,
        node: Node,
        run_id: int,
        session_id: str,
        objects: Mapping[str, InflatableObject],
    ) -> None:
        """Push objects that a session waits for; those that no batch takes one by one."""
        pushed = push_batches(
            partial(self.extra_routes.push, paths.RUNTIME_PUSH, node, run_id, session_id),
            run_id,
            session_id,
            ((key, pieces_of(each)) for key, each in objects.items()),
        )
        left = {key: each for key, each in objects.items() if key not in pushed}
        push = make_push_object_fn_protobuf(self.PushObject, node, run_id, session_id)
        push_objects(left, push)


def objects_of(messages: Sequence[Message]) -> dict[str, InflatableObject]:
    """Return the objects that messages are made of, by ID."""
    objects: dict[str, InflatableObject] = {}
    for each in messages:
        objects |= get_all_nested_objects(each)
    return objects


def fit(objects: Mapping[str, InflatableObject]) -> bool:
    """Return whether the contents of objects fit into one request, as far as arrays go."""
    # Not the arrays themselves: one that waits in a file would be read for its size.
    chunks = (each for each in objects.values() if isinstance(each, ArrayChunk))
    return sum(memoryview(each.data).nbytes for each in chunks) < BATCH_BYTES
