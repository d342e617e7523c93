"""The SuperLink's Fleet API as a SuperNode calls it, in our own types and errors."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

# The Fleet API's wire format, of which flwr exports nothing.
from flwr.common.serde import (
    fab_from_proto,
    message_from_proto,
    message_to_proto,
    run_from_proto,
)
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest

# What flwr's functions raise of an object that was not stored.
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

# How a node's key is written in the requests that name it.
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes, call_name
from fedstate.exchange.messages import PushLogResponse, PushReplyRequest, PushReplyResponse
from fedstate.flower.errors import MessageUnavailableError, RunStatus
from fedstate.flower.fleet_client import fleet_client, retry_policy
from fedstate.flower.log_pages import LogPage, receipt_proto
from fedstate.flower.node_waits import HEARTBEAT_SECONDS, PATIENCE_SECONDS, NodeWaits, Taken
from fedstate.flower.object_moves import ObjectMoves, Objects
from fedstate.flower.own_key import OwnKey
from fedstate.flower.refusals import is_registered_already, own_errors, run_status_of
from fedstate.flower.runs import Fab, Run
from fedstate.flower.stored_values import Envelope
from fedstate.witness.receipts import Receipt

__all__ = ["HEARTBEAT_SECONDS", "PATIENCE_SECONDS", "Announced", "FleetApi", "Objects", "Taken"]

# Calls with receipts, which the node's key has signed, in their requests.
_SIGNED = frozenset({call_name(paths.FLEET_REPLY), call_name(paths.FLEET_LOG)})

# flwr waits up to 20 s between tries, and a SuperLink that was restarted is back sooner.
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Announced:
    """A reply that the SuperLink has, and those of its objects that it still wants."""

    session_id: str
    wanted: frozenset[str]


class FleetApi(NodeWaits, AbstractContextManager["FleetApi"]):
    """One node's calls to a SuperLink's Fleet API; safe to use from every thread.

    Every method raises `UnreachableError` when no answer can be had, `ClocksDifferError` when
    nothing is taken that the clock of here says the time of, `RefusedError` when the answer is an
    error, and `UnauthorizedError` when the node's key is not accepted, nor the next one, if there
    is one. The methods that move the content of messages and runs try again for as long as the
    SuperLink is away or the clocks differ, and raise `RunEndedError` when the run has ended.

    Parameters
    ----------
    address : str
        ``host:port`` of the SuperLink.
    own_key : OwnKey
        The node's key, which signs each request.
    insecure : bool
        Whether to speak HTTP in place of HTTPS.
    root_certificates : Path, optional
        The file of the authority that vouches for the SuperLink; without it, the system's.
    transport : httpx.BaseTransport, optional
        What carries the requests, in place of a connection; for tests.
    retry_seconds : float
        The longest pause between two tries of a request.

    Attributes
    ----------
    node_id : int
        The node's ID at the SuperLink, which goes with each request; 0 before `activate`.
    """

    def __init__(
        self,
        address: str,
        own_key: OwnKey,
        *,
        insecure: bool = False,
        root_certificates: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.node_id = 0
        self._own_key = own_key
        self._client = fleet_client(
            address,
            own_key,
            insecure=insecure,
            root_certificates=root_certificates,
            carrier=transport,
            longest_seconds=retry_seconds,
            signed_bodies=_SIGNED,
        )
        self._retry = retry_policy(retry_seconds)
        self._routes = ExtraRoutes(self._client)
        self._moves = ObjectMoves(self._client, self._routes, self._retry)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    @property
    def _node(self) -> Node:
        return Node(node_id=self.node_id)

    @property
    def _public_key(self) -> bytes:
        return public_key_to_bytes(self._own_key.pair[1])

    @property
    def has_next_key(self) -> bool:
        """Whether the node's key file has another key than the one that is used."""
        return self._own_key.after(self._own_key.pair) is not None

    def register(self) -> None:
        """Register the node's key, unless it is registered."""
        with own_errors():
            try:
                self._client.RegisterNode(RegisterNodeFleetRequest(public_key=self._public_key))
            except httpx.HTTPStatusError as error:
                if not is_registered_already(error):
                    raise

    def activate(self) -> int:
        """Ask to be admitted; return the node's ID, under which all other requests are made."""
        request = ActivateNodeRequest(
            public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS
        )
        with own_errors():
            self.node_id = int(self._client.ActivateNode(request).node_id)
        # Another server may answer now, with other routes.
        self._routes.forget()
        return self.node_id

    def deactivate(self) -> None:
        """Say that the node goes offline."""
        with own_errors():
            self._client.DeactivateNode(DeactivateNodeRequest(node_id=self.node_id))

    def heartbeat(self) -> bool:
        """Say that the node is online; return whether the SuperLink knows the node."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
        with own_errors():
            return bool(self._client.SendNodeHeartbeat(request).success)

    def pull_message(self) -> Envelope | None:
        """Return a message for the node, or None; it is handed out once."""
        with own_errors():
            response = self._client.PullMessages(PullMessagesRequest(node=self._node))
            if not response.messages_list:
                return None
            message = message_from_proto(response.messages_list[0])
            return Envelope(message, response.message_object_trees[0])

    def run_status(self, run_id: int) -> RunStatus:
        """Return what the SuperLink says of a run."""
        request = GetRunRequest(node=self._node, run_id=run_id)
        with own_errors():
            try:
                # Not by way of flwr's retry policy: to that any 403 is the end of the run.
                self._client.GetRun(request)
            except httpx.HTTPStatusError as error:
                if (status := run_status_of(error)) is None:
                    raise
                return status
        return RunStatus.GOING

    def run(self, run_id: int) -> Run:
        """Return what the SuperLink knows of a run."""
        request = GetRunRequest(node=self._node, run_id=run_id)
        with own_errors():
            return run_from_proto(self._retry.invoke(self._client.GetRun, request).run)

    def fab(self, fab_hash: str, run_id: int) -> Fab:
        """Return a run's FAB."""
        request = GetFabRequest(node=self._node, hash_str=fab_hash, run_id=run_id)
        with own_errors():
            return fab_from_proto(self._retry.invoke(self._client.GetFab, request).fab)

    def pull_objects(self, run_id: int, object_ids: list[str]) -> Objects:
        """Return the contents of a message's objects.

        Raises
        ------
        MessageUnavailableError
            One is gone, or did not come in time.
        """
        with own_errors():
            try:
                return self._moves.pull(self._node, run_id, object_ids)
            except ValueError as error:  # nothing says that it will be better another time
                raise MessageUnavailableError(str(error)) from error

    def push_reply(
        self,
        envelope: Envelope,
        objects: Objects,
        seconds: float,
        receipt: Receipt | None,
        *,
        confirm: bool,
    ) -> bool:
        """Push a reply with all of its objects in one request.

        Parameters
        ----------
        envelope : Envelope
            The reply.
        objects : dict of str to bytes
            The contents of its objects.
        seconds : float
            How long the ClientApp took.
        receipt : Receipt, optional
            The receipt for it.
        confirm : bool
            Whether the SuperLink need not keep the message that it replies to.

        Returns
        -------
        bool
            False if the SuperLink has no such route, and nothing was pushed.

        Raises
        ------
        ReplyIncompleteError
            An object was not stored.
        KeyReplacedError
            The receipt is signed with a key that was replaced; nothing was pushed.
        """
        request = PushReplyRequest(
            node=self._node,
            push=self._announcement(envelope, seconds),
            object_ids=list(objects),
            contents=list(objects.values()),
            confirm=confirm,
            receipt=receipt_proto(receipt) if receipt else None,
        )
        with own_errors():
            answer = self._call_signed(paths.FLEET_REPLY, request, PushReplyResponse)
            if answer is None:
                return False
            for key in answer.push.objects_to_push:
                if key not in answer.stored:
                    run_id = envelope.message.metadata.run_id
                    raise ObjectPushError(key, run_id, answer.push.session_id)
        return True

    def push_log(self, page: LogPage) -> bool:
        """Push rows of the node's log; return whether more of them are wanted.

        A SuperLink that does not have the route wants none.

        Raises
        ------
        KeyReplacedError
            They are signed with a key that was replaced; nothing was pushed.
        """
        request = page.to_proto()
        request.node.CopyFrom(self._node)
        with own_errors():
            answer = self._call_signed(paths.FLEET_LOG, request, PushLogResponse)
        return answer is not None and bool(answer.wanted)

    def announce_reply(self, envelope: Envelope, seconds: float) -> Announced:
        """Push a reply whose objects follow; `seconds` is how long the ClientApp took."""
        request = self._announcement(envelope, seconds)
        with own_errors():
            response = self._retry.invoke(self._client.PushMessages, request)
        return Announced(response.session_id, frozenset(response.objects_to_push))

    def push_objects(self, run_id: int, session_id: str, objects: Mapping[str, bytes]) -> None:
        """Push objects of a reply that was announced.

        Raises
        ------
        ReplyIncompleteError
            One was not stored.
        """
        with own_errors():
            self._moves.push(self._node, run_id, session_id, objects)

    def push_object(self, run_id: int, object_id: str, content: bytes) -> None:
        """Push an object for which a ServerApp waits, whatever has become of its push session."""
        request = PushObjectRequest(
            node=self._node, run_id=run_id, object_id=object_id, object_content=content
        )
        with own_errors():
            self._moves.push_one(request)

    def confirm(self, run_id: int, message_id: str) -> None:
        """Say that the SuperLink need not keep a message's objects any longer."""
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=run_id, message_object_id=message_id
        )
        with own_errors():
            self._retry.invoke(self._client.ConfirmMessageReceived, request)

    def _call_signed(self, path: str, request: Any, response_type: Any) -> Any:
        """Call a route with receipts in the request, as long as the key is the one of these."""
        with self._own_key.kept(probe=self.heartbeat) as check:

            def call() -> Any:
                check()
                return self._routes.call(path, request, response_type)

            return self._retry.invoke(call)

    def _announcement(self, envelope: Envelope, seconds: float) -> PushMessagesRequest:
        return PushMessagesRequest(
            node=self._node,
            messages_list=[message_to_proto(envelope.message)],
            message_object_trees=[envelope.tree],
            clientapp_runtime_list=[seconds],
        )
