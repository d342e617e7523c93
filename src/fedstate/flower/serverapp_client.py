"""A ServerApp's client, which needs one request where flwr's needs several."""

import itertools
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flwr.app import Message
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse

# The objects that a message is made of.
from flwr.supercore.inflatable.inflatable_object import InflatableObject, iterate_object_tree

from fedstate.exchange import paths
from fedstate.exchange.client import ANSWER_SECONDS
from fedstate.exchange.messages import (
    SendMessagesResponse,
    TakeRepliesRequest,
    TakeRepliesResponse,
)
from fedstate.exchange.pulled import PulledObject
from fedstate.flower.object_client import BatchingRuntimeClient


class ServerAppClient(BatchingRuntimeClient):
    """flwr's client of the Runtime API for a ServerApp; safe to use from every thread."""

    def __init__(self, base_url: str, **options: Any) -> None:
        super().__init__(base_url, **options)
        # Not one that an earlier process of the same task has used.
        self._numbers = itertools.count(time.time_ns())
        # Guards what follows.
        self._taking = threading.Lock()
        self._taken: dict[frozenset[str], TakeRepliesResponse] = {}
        self._whole: set[str] = set()
        self._confirmed: list[str] = []
        self._received: list[int] = []

    def send_messages(
        self,
        node: Node,
        messages: Sequence[Message],
        objects: Mapping[str, InflatableObject],
        confirmed: Sequence[str] = (),
    ) -> SendMessagesResponse | None:
        """Push messages as `BatchingRuntimeClient` does, and confirm replies that came before."""
        confirmed = [*confirmed, *self._take_confirmed()]
        answer: SendMessagesResponse | None = None
        try:
            answer = super().send_messages(node, messages, objects, confirmed)
        finally:
            if answer is None:
                self._put_back(confirmed)
        return answer

    def take_replies(
        self,
        node: Node,
        message_ids: Collection[str],
        seconds: float,
        *,
        gather_share: float,
        gather_seconds: float,
        sent_ago: float,
    ) -> bool:
        """Wait for replies and take them: the next `PullMessages` for the messages returns them.

        Returns
        -------
        bool
            Whether it was waited; False if the server has no such route.
        """
        confirmed = self._take_confirmed()
        with self._taking:
            number, received = next(self._numbers), list(self._received)
        request = TakeRepliesRequest(
            node=node,
            message_ids=message_ids,
            seconds=seconds,
            gather_share=gather_share,
            gather_seconds=gather_seconds,
            sent_ago=sent_ago,
            confirmed=confirmed,
            number=number,
            received=received,
        )
        answer: TakeRepliesResponse | None = None
        try:
            answer = self.extra_routes.call(
                paths.RUNTIME_TAKE, request, TakeRepliesResponse, timeout=seconds + ANSWER_SECONDS
            )
        finally:
            if answer is None:
                self._put_back(confirmed)
        if answer is None:
            return False
        with self._taking:
            self._received = [each for each in self._received if each not in received]
            self._received.append(number)
            self._taken[frozenset(message_ids)] = answer
        return True

    def PullMessages(  # noqa: N802
        self, request: PullAppMessagesRequest
    ) -> PullAppMessagesResponse:
        """Return the replies that were taken; without any that were, pull."""
        asked = frozenset(request.message_ids)
        with self._taking:
            answer = self._taken.pop(asked, None)
            keys = [key for key in self._taken if key & asked]
            others = [self._taken.pop(key) for key in keys] if answer is None else []
        if answer is not None:
            return self._announce(answer.pulled, [answer])
        # Whoever asks for other messages than were waited for is given what was taken, too.
        pulled = super().PullMessages(request)
        if not others:
            return pulled
        for each in others:
            pulled.MergeFrom(each.pulled)
        return self._announce(pulled, others)

    def _announce(
        self, pulled: PullAppMessagesResponse, answers: Sequence[TakeRepliesResponse]
    ) -> PullAppMessagesResponse:
        here = {
            object_id: PulledObject(
                object_found=True, object_available=True, object_content=content
            )
            for each in answers
            for object_id, content in zip(each.object_ids, each.contents, strict=True)
        }
        whole = {
            tree.object_id
            for tree in pulled.message_object_trees
            if all(each.object_id in here for each in iterate_object_tree(tree))
        }
        with self._taking:
            self._whole |= whole
        self.announce(pulled, here)
        return pulled

    def ConfirmMessageReceived(  # noqa: N802
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        """Confirm a reply; one that came whole is confirmed by the next request that can."""
        with self._taking:
            if request.message_object_id in self._whole:
                self._whole.discard(request.message_object_id)
                self._confirmed.append(request.message_object_id)
                return ConfirmMessageReceivedResponse()
        return super().ConfirmMessageReceived(request)

    def _take_confirmed(self) -> list[str]:
        with self._taking:
            confirmed, self._confirmed = self._confirmed, []
        return confirmed

    def _put_back(self, confirmed: list[str]) -> None:
        with self._taking:
            self._confirmed += confirmed
