"""Whose a node store is: that of the node with its key, or with the key that replaced it."""

import re

from fedstate.flower.errors import RefusedError
from fedstate.flower.nodestate import DurableNodeState
from fedstate.logs import logger
from fedstate.store.errors import StoreError, StoreForeignError
from fedstate.store.node_store import NodeStore
from fedstate.supernode.membership import Membership


class Ownership:
    """Whether a store is that of a SuperNode with a certain key.

    A store that is bound to another key is a contested one. The node's operator may have replaced
    the key at the SuperLink, under which the node keeps its ID: the ID that the SuperLink admits
    the new key by is then the one that the store has known. Nothing of the store is used before.

    Parameters
    ----------
    store : NodeStore
        The store; one that is nobody's yet is bound to the key.
    key : str
        The fingerprint of the SuperNode's public key.
    """

    def __init__(self, store: NodeStore, key: str) -> None:
        self._store = store
        self._key = key
        self._former = store.owner
        if self._former is None:
            store.bind(key)
        elif self.contested:
            logger.warning(
                "The node store in '%s' belongs to the node with key %s, and this SuperNode has "
                "key %s: it is used if the SuperLink says that this node's key was replaced.",
                store.directory,
                self._former,
                key,
            )

    def pass_on(self, key: str) -> None:
        """Bind the store to the key that has replaced the node's, while it is in use.

        A directory that is named after the key is found by the new one, too.

        Parameters
        ----------
        key : str
            The new key's fingerprint.
        """
        logger.info("The key of this node was replaced: it goes on with key %s.", key)
        directory = self._store.directory
        try:
            self._store.rebind(key)
            if directory.name == directory_name(self._key):
                (directory.parent / directory_name(key)).symlink_to(directory.name)
        except (StoreError, OSError) as error:
            # The step that is under way need not fail. The next start asks the SuperLink.
            logger.warning("The node store in '%s' has its old key. %s", directory, error)

    @property
    def contested(self) -> bool:
        """Whether the store is bound to another key."""
        return self._former not in (None, self._key)

    def settle(self, membership: Membership, state: DurableNodeState) -> None:
        """Join, and bind a contested store to the key if the node is the one that it knows.

        Parameters
        ----------
        membership : Membership
            The node's session at the SuperLink, not begun yet.
        state : DurableNodeState
            The state in the store.

        Raises
        ------
        StoreForeignError
            The store belongs to another node.
        FederationError
            As `Membership.join` does.
        """
        if not self.contested:
            membership.join()
            return
        membership.refused_is_final = True
        try:
            membership.join()
        except RefusedError as error:
            raise self._foreign(str(error)) from None
        membership.refused_is_final = False
        node_id = membership.node_id
        known = _known_id(state)
        if known != node_id:
            raise self._foreign(
                f"The SuperLink knows this key as node {node_id}, and the store is of node "
                f"{known or 'none that is known'}."
            )
        self._store.rebind(self._key)
        logger.info(
            "The key of node %s was replaced: its store is bound to the new key.", node_id
        )

    def _foreign(self, reason: str) -> StoreForeignError:
        return StoreForeignError(
            f"The node store in '{self._store.directory}' belongs to the node with key "
            f"{self._former}, and this SuperNode has key {self._key}. {reason} Start it with its "
            "own private key, or give it a state directory of its own; `fedstate node "
            "replace-key` gives a node another key."
        )


def _known_id(state: DurableNodeState) -> int | None:
    """Return the ID under which the store was used last, if anything in it says so."""
    if (row := state.store.last_row()) is not None:
        return row.record.node_id
    for run in reversed(state.store.runs()):
        context = state.bare_context(run.series_id)
        if context is not None:
            return int(context.node_id)
    return None


def directory_name(key: str) -> str:
    """Return the name of the directory of the node with a key, where the operator gives none."""
    return re.sub(r"\W", "", key)[:24]
