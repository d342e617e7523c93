"""How a node moves the objects of its messages: in batches, and what is left one by one."""

from collections.abc import Mapping
from functools import partial

# The requests for one object.
from flwr.proto.message_pb2 import (
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.node_pb2 import Node

# How flwr moves the objects of a message.
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    pull_objects,
    push_object_contents_from_iterable,
)
from flwr.supercore.retry import RetryInvoker
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.flower.object_batches import push_batches
from fedstate.flower.pull_backoff import FIRST_WAIT_SECONDS

Objects = dict[str, bytes]


class ObjectMoves:
    """The objects of a node's messages, to and from a SuperLink.

    Parameters
    ----------
    client : FleetHttpClient
        flwr's client, with a method for one object.
    routes : ExtraRoutes
        Our routes, for many.
    retry : RetryInvoker
        What is done about requests that fail.
    """

    def __init__(self, client: FleetHttpClient, routes: ExtraRoutes, retry: RetryInvoker) -> None:
        self._client = client
        self._routes = routes
        self._retry = retry

    def pull(self, node: Node, run_id: int, object_ids: list[str]) -> Objects:
        """Return the contents of objects.

        Raises
        ------
        ObjectPullError, ValueError
            One cannot be had.
        """
        found = self._retry.invoke(self._routes.pull, paths.FLEET_PULL, node, run_id, object_ids)
        contents = {key: each.object_content for key, each in found.items()}
        left = [each for each in object_ids if each not in contents]
        pull = make_pull_object_fn_protobuf(self._pull_one, node, run_id)
        return contents | pull_objects(left, pull, initial_backoff=FIRST_WAIT_SECONDS)

    def push(
        self, node: Node, run_id: int, session_id: str, objects: Mapping[str, bytes]
    ) -> None:
        """Push objects of a reply that was announced, each read when its turn comes.

        Raises
        ------
        ObjectPushError
            One was not stored.
        """
        push_batch = partial(self._routes.push, paths.FLEET_PUSH, node, run_id, session_id)
        pushed = push_batches(
            partial(self._retry.invoke, push_batch),
            run_id,
            session_id,
            ((key, [objects[key]]) for key in objects),
        )
        push = make_push_object_fn_protobuf(self.push_one, node, run_id, session_id)
        contents = ((key, objects[key]) for key in objects if key not in pushed)
        push_object_contents_from_iterable(contents, push_object_fn=push)

    def push_one(self, request: PushObjectRequest) -> PushObjectResponse:
        """Push one object."""
        response: PushObjectResponse = self._retry.invoke(self._client.PushObject, request)
        return response

    def _pull_one(self, request: PullObjectRequest) -> PullObjectResponse:
        response: PullObjectResponse = self._retry.invoke(self._client.PullObject, request)
        return response
