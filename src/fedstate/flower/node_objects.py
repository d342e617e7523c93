"""A node pulls the objects of the messages that were handed to it, confirms and answers those.

flwr's Fleet API knows which node asks, and for most calls does not look whether that node has to
do with what it asks for. What was handed to which node is in the evidence of runs.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from threading import Lock
from typing import Any, cast

from fastapi import HTTPException

# The state, and what its object store raises for a message that is gone.
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStore

from fedstate.flower.bulk_objects import BulkObjectStore
from fedstate.flower.witnessed_state import evidence_of

# A message's objects are pulled in many requests, one after the other.
_MOST_TREES = 64
# The newest message is the one that is pulled, but for a node that has many under way.
_NEWEST = (8, 1000)


class NodeObjects:
    """What the nodes of a SuperLink may see of its objects, and delete.

    Parameters
    ----------
    state : callable
        Returns the SuperLink's state, with its evidence.
    """

    def __init__(self, state: Callable[[], LinkState]) -> None:
        self._state = state
        # The objects of a message, which never change, by its ID; guarded by the lock.
        self._trees: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._lock = Lock()

    def hidden(self, node_id: int, run_id: int, object_ids: Collection[str]) -> set[str]:
        """Return those objects that are there, and in no message that was handed to the node."""
        state = self._state()
        evidence, wanted = evidence_of(state), set(object_ids)
        for newest in _NEWEST:
            delivered = evidence.delivered_to(node_id, run_id, newest)
            for message_id in delivered:
                wanted -= self._tree(message_id)
            if not wanted or len(delivered) < newest:
                break
        return _known(state.object_store, wanted) if wanted else set()

    def may_confirm(self, node_id: int, run_id: int, message_id: str) -> bool:
        """Return whether a message was handed to a node, or is not there."""
        state = self._state()
        return evidence_of(state).was_delivered(node_id, run_id, message_id) or not _known(
            state.object_store, {message_id}
        )

    def _tree(self, message_id: str) -> frozenset[str]:
        """Return the IDs of a message's objects; none if it is gone."""
        with self._lock:
            if message_id in self._trees:
                self._trees.move_to_end(message_id)
                return self._trees[message_id]
        try:
            tree = self._state().object_store.get_object_tree(message_id)
        except NoObjectInStoreError:
            return frozenset()
        found = frozenset(each.object_id for each in iterate_object_tree(tree))
        with self._lock:
            self._trees[message_id] = found
            if len(self._trees) > _MOST_TREES:
                self._trees.popitem(last=False)
        return found


def check_sender(node_id: int, messages: Iterable[Any]) -> None:
    """Raise HTTPException if a node sends replies in the name of another."""
    for each in messages:
        if each.metadata.src_node_id != node_id:
            raise HTTPException(403, f"Node {node_id} sends no replies for another node.")


def _known(store: ObjectStore, object_ids: Collection[str]) -> set[str]:
    if isinstance(store, BulkObjectStore):
        return store.known(object_ids)
    return {each for each in object_ids if each in cast("Any", store)}
