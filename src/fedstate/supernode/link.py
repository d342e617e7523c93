"""The SuperNode's side of the SuperLink's Fleet API.

flwr's `http_request_response` does the same in one closure, with a heartbeat of 30 seconds that
cannot be set, and it ends the process when the SuperLink refuses the node. Here the node comes
back within seconds after a crash, and never gives up unless told to.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

# The Fleet API's messages, and how flwr moves the objects of one: flwr exports none of it.
from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, HEARTBEAT_PATIENCE
from flwr.common.serde import fab_from_proto, message_from_proto, run_from_proto
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.retry import exponential
from flwr.supercore.run import Run

from fedstate.errors import FederationError
from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.failpoints import reach
from fedstate.flower.clients import Fate, FleetClient, reason_of, retry_invoker
from fedstate.flower.pull_backoff import FIRST_WAIT_SECONDS
from fedstate.flower.stored_values import Envelope
from fedstate.logs import logger
from fedstate.supernode.replies import Replies
from fedstate.supernode.session import SessionFile

# The shortest that a SuperLink takes, and how long it then waits for the next heartbeat.
HEARTBEAT_SECONDS = float(HEARTBEAT_MIN_INTERVAL)
PATIENCE_SECONDS = HEARTBEAT_PATIENCE * HEARTBEAT_SECONDS
# Four heartbeats within the patience: three may be lost.
_HEARTBEAT_PAUSE = PATIENCE_SECONDS / 4

# Longer than the 3 s between two looks of Flower's Grid: every ServerApp that waits for this
# node sees that it was away, and that the message it waits for may be lost.
_AWAY_SECONDS = 5.0
_RETRY_SECONDS = 5.0
# A message that the SuperLink sends again gives no signal: it is looked for this often.
_WAIT_SECONDS = 3.0


@dataclass(frozen=True)
class Patience:
    """How long to try to connect; flwr's `--max-retries` and `--max-wait-time`."""

    max_retries: int | None = None
    max_seconds: float | None = None


class Fleet:
    """One node's session at a SuperLink.

    Parameters
    ----------
    client : FleetClient
        The client, which signs with the node's key.
    public_key : bytes
        The node's public key as the SuperLink keeps it.
    session : SessionFile
        Where the session is noted.
    register : bool
        Whether the node registers itself: a SuperLink without node authentication wants that.
    patience : Patience
        How long to try to connect.
    """

    def __init__(
        self,
        client: FleetClient,
        public_key: bytes,
        session: SessionFile,
        *,
        register: bool,
        patience: Patience,
    ) -> None:
        self._client = client
        self._public_key = public_key
        self._session = session
        self._register = register
        self._patience = patience
        self._retry = retry_invoker()
        self._routes = ExtraRoutes(client)
        self._replies = Replies(client, self._routes, self._retry)
        self._seen = 0
        self._node = Node()
        self._left = threading.Event()
        # Held for each heartbeat, and while the node is meant to be offline: a heartbeat would
        # bring it back, and the SuperLink would then refuse to admit it.
        self._beating = threading.Lock()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @property
    def node_id(self) -> int:
        """The node's ID at the SuperLink."""
        return int(self._node.node_id)

    def join(self) -> None:
        """Connect: go on with the session that was left, or begin one.

        Raises
        ------
        FederationError
            The SuperLink could not be reached or refused the node for longer than the patience.
        """
        left = self._session.previous()
        if left is not None:
            self._node = Node(node_id=left.node_id)
            if left.pulling:
                logger.info("The last SuperNode ended while it pulled a message.")
                self._rejoin()
            elif self._heartbeat():
                logger.info("Going on with the session of the last SuperNode.")
            else:
                self._activate()
        else:
            self._activate()
        self._heart.start()

    def _activate(self) -> None:
        tries, started = 0, time.monotonic()
        pauses = exponential(base_delay=0.5, max_delay=int(_RETRY_SECONDS))
        while True:
            since = time.time()
            try:
                self._node = Node(node_id=self._try_to_activate())
            except httpx.HTTPError as error:
                reason = reason_of(error)
            else:
                self._session.alive(self.node_id, since)
                self._routes.forget()
                return
            tries += 1
            waited = time.monotonic() - started
            out_of_tries = (
                self._patience.max_retries is not None and tries > self._patience.max_retries
            )
            out_of_time = (
                self._patience.max_seconds is not None and waited > self._patience.max_seconds
            )
            if out_of_tries or out_of_time:
                raise FederationError(
                    f"The SuperNode could not connect to the SuperLink, tried {tries} times in "
                    f"{waited:.0f} s. {reason}"
                )
            logger.warning("%s Trying again.", reason)
            if self._left.wait(next(pauses)):
                raise FederationError("The SuperNode was stopped before it was connected.")

    def _try_to_activate(self) -> int:
        if self._register:
            try:
                self._client.RegisterNode(RegisterNodeFleetRequest(public_key=self._public_key))
            except httpx.HTTPStatusError as error:
                known = FlowerError.from_json(error.response.text)
                if not known or known.code != ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
                    raise
        request = ActivateNodeRequest(
            public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS
        )
        return int(self._client.ActivateNode(request).node_id)

    def _beat(self) -> None:
        while not self._left.wait(_HEARTBEAT_PAUSE * random.uniform(0.8, 1.0)):  # noqa: S311
            with self._beating:
                self._heartbeat()

    def _heartbeat(self) -> bool:
        since = time.time()
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
        try:
            known = bool(self._client.SendNodeHeartbeat(request).success)
        except httpx.HTTPError as error:
            logger.warning("The heartbeat was not answered. %s", reason_of(error))
            return False
        except ValueError as error:  # an answer that is none must not end the heartbeats
            logger.warning("The heartbeat's answer cannot be read: %s", error)
            return False
        if known:
            self._session.alive(self.node_id, since)
        else:
            logger.warning("The SuperLink does not know this node any more.")
        return known

    def _rejoin(self) -> None:
        """Be offline for as long as every ServerApp needs to see it, then connect again."""
        with self._beating:
            lapse = time.monotonic() + PATIENCE_SECONDS
            while not self._leave() and time.monotonic() < lapse:
                self._left.wait(1)
            self._left.wait(_AWAY_SECONDS)
            self._activate()

    def receive(self, store: Callable[[Envelope], None]) -> bool:
        """Pull one message and store it; return whether there was one.

        A message that the SuperLink counts as delivered and that did not arrive, because the
        connection broke on its way, would never be answered: the node then goes offline for a
        moment, and the ServerApp is told.
        """
        self._session.pulling(active=True)
        try:
            response = self._client.PullMessages(PullMessagesRequest(node=self._node))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.HTTPStatusError):
            self._session.pulling(active=False)
            raise
        except httpx.TransportError as error:
            logger.warning("A message may be lost: %s", error)
            self._rejoin()
            self._session.pulling(active=False)
            return False
        if response.messages_list:
            reach("message-pulled")
            message = message_from_proto(response.messages_list[0])
            store(Envelope(message, response.message_object_trees[0]))
        self._session.pulling(active=False)
        return bool(response.messages_list)

    def wait_for_messages(self) -> bool:
        """Wait until there may be a message; return False if the SuperLink cannot tell."""
        count = self._routes.wait(paths.FLEET_WAIT, self._node, self._seen, _WAIT_SECONDS)
        self._seen = count or 0
        return count is not None

    def run(self, run_id: int) -> Run:
        """Return what the SuperLink knows of a run; raise RunNotRunningException if it ended."""
        request = GetRunRequest(node=self._node, run_id=run_id)
        return run_from_proto(self._retry.invoke(self._client.GetRun, request).run)

    def fate(self, run_id: int) -> Fate:
        """Return what the SuperLink says of a run.

        Raises
        ------
        httpx.HTTPError
            It says nothing of it.
        """
        request = GetRunRequest(node=self._node, run_id=run_id)
        try:
            # Not by way of flwr's retry policy: to that all refusals mean that a run has ended.
            self._client.GetRun(request)
        except httpx.HTTPStatusError as error:
            refusal = FlowerError.from_json(error.response.text)
            if refusal and refusal.code == ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED:
                return Fate.ENDED
            if refusal and refusal.code == ApiErrorCode.FLEET_GET_RUN_FAILED:
                return Fate.UNKNOWN
            raise
        return Fate.GOING

    def fab(self, fab_hash: str, run_id: int) -> Fab:
        """Return a run's FAB."""
        request = GetFabRequest(node=self._node, hash_str=fab_hash, run_id=run_id)
        return fab_from_proto(self._retry.invoke(self._client.GetFab, request).fab)

    def pull_objects(self, run_id: int, object_ids: list[str]) -> dict[str, bytes]:
        """Return the contents of a message's objects; raise ObjectPullError if one is gone."""

        def call(request: PullObjectRequest) -> PullObjectResponse:
            response: PullObjectResponse = self._retry.invoke(self._client.PullObject, request)
            return response

        found = self._retry.invoke(
            self._routes.pull, paths.FLEET_PULL, self._node, run_id, object_ids
        )
        contents = {key: each.object_content for key, each in found.items()}
        pull = make_pull_object_fn_protobuf(call, self._node, run_id)
        left = [each for each in object_ids if each not in contents]
        return contents | pull_objects(left, pull, initial_backoff=FIRST_WAIT_SECONDS)

    def send(
        self,
        envelope: Envelope,
        objects: dict[str, bytes],
        seconds: float,
        *,
        again: bool,
        confirm: bool,
    ) -> bool:
        """Push a reply and its objects.

        `seconds` is how long the ClientApp took; `again`, whether a part of the reply may have
        been pushed before; `confirm`, whether to confirm the message, too, if it can be done at
        once. Returns whether it was done.
        """
        if again:
            self._replies.send_again(self._node, envelope, objects, seconds)
            return False
        return self._replies.send(self._node, envelope, objects, seconds, confirm=confirm)

    def confirm(self, run_id: int, message_id: str) -> None:
        """Tell the SuperLink that it need not keep a message's objects any longer."""
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=run_id, message_object_id=message_id
        )
        self._retry.invoke(self._client.ConfirmMessageReceived, request)

    def leave(self, *, for_good: bool) -> None:
        """Stop. For good: end the session, so that any SuperNode is admitted at once.

        Otherwise the session is left for the next SuperNode to go on with: one that comes within
        the patience finds its steps, and no ServerApp has seen it away.
        """
        self._left.set()
        if self._heart.is_alive():
            self._heart.join(timeout=1)
        if self.node_id and for_good:
            self._leave()
        self._client.close()

    def _leave(self) -> bool:
        try:
            self._client.DeactivateNode(DeactivateNodeRequest(node_id=self.node_id))
        except httpx.HTTPStatusError:
            # It counts as offline already.
            pass
        except httpx.TransportError as error:
            logger.warning("%s", reason_of(error))
            return False
        self._session.end()
        return True
