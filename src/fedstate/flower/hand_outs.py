"""Handing messages out to nodes: with their objects, and again when they may not have arrived.

flwr marks a message as delivered when it writes the answer, and never hands it out again. Here
the mark is taken away if the node says what it has and the message is not among it: from then on
the message is one that has not been delivered.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends

# What flwr's routes of the Fleet API take and answer.
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node

# The state, the table of its messages, and how flwr keeps IDs of 64 bits.
from flwr.server.superlink.linkstate import LinkState
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.state.schema.linkstate_models import MessageIns, MessageRes
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64
from flwr.superlink.dependencies.linkstate import get_linkstate

# flwr's handlers of the Fleet API.
from flwr.superlink.servicer.fleet import fleet_handlers
from sqlalchemy import func, select, update

from fedstate.exchange import batches
from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.routing import ProtobufRequest
from fedstate.flower.run_objects import FleetObjects
from fedstate.flower.statements import in_batches
from fedstate.flower.witnessed_state import witnessed


@dataclass(frozen=True)
class HandedOut:
    """A message as flwr's route answers with it, and those of its objects that fit beside it."""

    pulled: PullMessagesResponse
    objects: Mapping[str, bytes] = field(default_factory=dict)


class HandOuts:
    """The messages of a SuperLink for its nodes, for a request of one of them.

    Parameters
    ----------
    state
        The SuperLink's state.
    node_id
        The node that the request comes from.
    """

    def __init__(self, state: LinkState, node_id: int) -> None:
        self._state = state
        self._node_id = node_id

    def beat(self, interval: float) -> bool:
        """Note that the node is online, as a heartbeat does; return whether it is known.

        Raises
        ------
        FlowerError
            The interval is none that flwr takes.
        """
        request = SendNodeHeartbeatRequest(
            node=Node(node_id=self._node_id), heartbeat_interval=interval
        )
        return bool(fleet_handlers.send_node_heartbeat(request, self._state).success)

    def pending(self) -> dict[int, int]:
        """Return how many messages each node of the SuperLink has that were not delivered."""
        if isinstance(self._state, BulkLinkState):
            query = (
                select(MessageIns.dst_node_id, func.count())
                .where(MessageIns.delivered_at == "")
                .group_by(MessageIns.dst_node_id)
            )
            with self._state.session() as session:
                found = session.execute(query).all()
            return {int64_to_uint64(cast("int", node_id)): number for node_id, number in found}
        counts: dict[int, int] = {}
        state = cast("InMemoryLinkState", self._state)
        with state.lock:
            for each in state.message_ins_store.values():
                if each.metadata.delivered_at == "":
                    node_id = each.metadata.dst_node_id
                    counts[node_id] = counts.get(node_id, 0) + 1
        return counts

    def hand_out(self) -> HandedOut | None:
        """Hand out the node's next message, which counts as delivered from then on; or None."""
        with witnessed(self._state).at_once():
            request = PullMessagesRequest(node=Node(node_id=self._node_id))
            pulled = fleet_handlers.pull_messages(request, self._state, self._state.object_store)
            if not pulled.messages_list:
                return None
            run_id = pulled.messages_list[0].metadata.run_id
            (tree,) = pulled.message_object_trees
            ids = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
            # They are those of a message that is handed to this node.
            of_run = FleetObjects(self._state, run_id, lambda _: set())
            objects = batches.available(of_run, ids)
            of_run.count_traffic(sent=sum(map(len, objects.values())))
            return HandedOut(pulled, objects)

    def take_back(self, have: Collection[str]) -> None:
        """Count as not delivered what was handed to the node, has no reply, and is not there.

        Parameters
        ----------
        have : collection of str
            The messages that the node has, or has the reply of.
        """
        if not isinstance(self._state, BulkLinkState):
            self._take_back_in_memory(have)
            return
        answered = select(MessageRes.message_id).where(
            MessageRes.reply_to_message_id == MessageIns.message_id
        )
        lost = select(MessageIns.message_id).where(
            MessageIns.dst_node_id == uint64_to_int64(self._node_id),
            MessageIns.delivered_at != "",
            ~answered.exists(),
        )
        with self._state.session() as session:
            ids = set(session.scalars(lost)) - set(have)
        # Another transaction: SQLite refuses one that has read before another has written.
        for some in in_batches(each for each in ids if each):
            with self._state.session() as session:
                session.execute(
                    update(MessageIns)
                    .where(MessageIns.message_id.in_(some), ~answered.exists())
                    .values(delivered_at="")
                )

    def _take_back_in_memory(self, have: Collection[str]) -> None:
        state = cast("InMemoryLinkState", self._state)
        # flwr marks a message as delivered when it has let its lock go.
        with witnessed(self._state).at_once(), state.lock:
            replies = state.message_res_store.values()
            answered = {each.metadata.reply_to_message_id for each in replies}
            for message_id, each in state.message_ins_store.items():
                mine = each.metadata.dst_node_id == self._node_id
                if mine and message_id not in answered and message_id not in have:
                    each.metadata.delivered_at = ""


async def _hand_outs(
    request: ProtobufRequest, state: Annotated[LinkState, Depends(get_linkstate)]
) -> HandOuts:
    return HandOuts(state, request.node.node_id)


HandOutsDependency = Annotated[HandOuts, Depends(_hand_outs)]
