"""How a node waits for its messages at a SuperLink, and takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# The shortest interval of heartbeats that a SuperLink takes, and how many it waits for.
from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, HEARTBEAT_PATIENCE

# The Fleet API's wire format, of which flwr exports nothing.
from flwr.common.serde import message_from_proto
from flwr.proto.node_pb2 import Node

from fedstate.exchange import paths
from fedstate.exchange.client import ANSWER_SECONDS, ExtraRoutes, Waited
from fedstate.exchange.messages import TakeRequest, TakeResponse
from fedstate.flower.object_moves import Objects
from fedstate.flower.refusals import own_errors
from fedstate.flower.stored_values import Envelope

HEARTBEAT_SECONDS = float(HEARTBEAT_MIN_INTERVAL)
# How long after its last heartbeat a SuperLink counts a node as online.
PATIENCE_SECONDS = HEARTBEAT_PATIENCE * HEARTBEAT_SECONDS


@dataclass(frozen=True)
class Taken:
    """What a SuperLink answers to a node that has waited for a message.

    Attributes
    ----------
    known : bool
        Whether it knows the node.
    envelope : Envelope, optional
        The message; None if there is none.
    objects : dict of str to bytes
        Those of the message's objects that came with it.
    ended_runs : tuple of int
        Those of the named runs that have ended.
    tells_ends : bool
        Whether it tells which have.
    log_requests : tuple
        What is asked of the node's log, as protobuf messages.
    """

    known: bool
    envelope: Envelope | None = None
    objects: Objects = field(default_factory=dict)
    ended_runs: tuple[int, ...] = ()
    tells_ends: bool = False
    log_requests: tuple[Any, ...] = ()


class NodeWaits:
    """The part of a node's Fleet API in which it waits.

    What goes wrong is raised as `fedstate.flower.clients.FleetApi` says it.
    """

    _routes: ExtraRoutes
    node_id: int

    @property
    def _node(self) -> Node:
        return Node(node_id=self.node_id)

    def take_message(
        self,
        seconds: float,
        run_ids: Sequence[int] = (),
        *,
        have: Sequence[str] | None = None,
        beats: bool = True,
    ) -> Taken | None:
        """Wait until there is a message, and take it.

        Parameters
        ----------
        seconds : float
            How long to wait at most.
        run_ids : sequence of int
            Runs that go on, as far as the node knows; the wait ends when one of them has ended.
        have : sequence of str, optional
            If the last answer may not have arrived or was not made durable: the messages that the
            node has. What else was handed out to it is handed out again.
        beats : bool
            Whether this is a heartbeat, too.

        Returns
        -------
        Taken or None
            None if the SuperLink has no such route.
        """
        request = TakeRequest(
            node=self._node,
            seconds=seconds,
            heartbeat_interval=HEARTBEAT_SECONDS if beats else 0.0,
            run_ids=run_ids,
            answers_log_requests=True,
            again=have is not None,
            have=have,
        )
        with own_errors():
            answer = self._routes.call(
                paths.FLEET_TAKE, request, TakeResponse, timeout=seconds + ANSWER_SECONDS
            )
            if answer is None:
                return None
            envelope = None
            if answer.pulled.messages_list:
                message = message_from_proto(answer.pulled.messages_list[0])
                envelope = Envelope(message, answer.pulled.message_object_trees[0])
            return Taken(
                known=answer.known,
                envelope=envelope,
                objects=dict(zip(answer.object_ids, answer.contents, strict=True)),
                ended_runs=tuple(answer.ended_run_ids),
                tells_ends=answer.ends != 0,
                log_requests=tuple(answer.log_requests),
            )

    def wait_for_messages(
        self, seen: int, seconds: float, run_ids: Sequence[int] = ()
    ) -> Waited | None:
        """Wait until there may be a message, or one of the given runs has ended.

        Parameters
        ----------
        seen : int
            The count that the last call returned; 0 at first.
        seconds : float
            How long to wait at most.
        run_ids : sequence of int
            Runs that go on, as far as the node knows.

        Returns
        -------
        Waited or None
            A count of what has happened, and which of the runs have ended; None if the SuperLink
            has no such route.
        """
        with own_errors():
            return self._routes.wait(
                paths.FLEET_WAIT,
                self._node,
                seen,
                seconds,
                run_ids=run_ids,
                answers_log_requests=True,
            )
