"""What our routes for nodes need of flwr's SuperLink: the account, and what it may change."""

from typing import Annotated

from fastapi import Depends

# The state, and how flwr's routes of the Control API come by it and by the account that asks.
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.auth.typing import AccountInfo

# What flwr asks before an account registers a node.
from flwr.supercore.constant import ActionType
from flwr.supercore.error import ApiErrorCode, FlowerError

# What flwr's own registration takes for a key.
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, uses_nist_ec_curve
from flwr.supercore.typing import RegisterSupernodeContext
from flwr.superlink.dependencies.account import get_account
from flwr.superlink.dependencies.linkstate import get_linkstate

from fedstate.flower.node_keys import KeyInUseError, NodeUnknownError
from fedstate.flower.witnessed_state import witnessed
from fedstate.logs import logger


class OwnNodes:
    """The nodes of the account of a request, which it may change."""

    def __init__(self, state: LinkState, account: AccountInfo) -> None:
        self._state = state
        self._owner = account.flwr_aid

    def replace_key(self, node_id: int, public_key: bytes) -> bool:
        """Give a node another key; return False if it has it already.

        Raises
        ------
        FlowerError
            The account may not, it has no such node, or the key cannot be used.
        """
        self._check_permission()
        try:
            good = uses_nist_ec_curve(bytes_to_public_key(public_key))
        except (ValueError, AttributeError, TypeError):
            good = False
        if not good:
            raise FlowerError(ApiErrorCode.PUBLIC_KEY_NOT_VALID, f"For node {node_id}.")
        try:
            changed = witnessed(self._state).replace_key(self._owner, node_id, public_key)
        except NodeUnknownError:
            raise self._unknown(node_id) from None
        except KeyInUseError:
            raise FlowerError(
                ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE, f"For node {node_id}."
            ) from None
        if changed:
            logger.info("The key of node %s was replaced.", node_id)
        return changed

    def restore(self, node_id: int) -> bool:
        """Take back a node that was unregistered; return False if it is registered.

        Raises
        ------
        FlowerError
            The account may not, or it has no such node.
        """
        self._check_permission()
        try:
            changed = witnessed(self._state).restore_node(self._owner, node_id)
        except NodeUnknownError:
            raise self._unknown(node_id) from None
        if changed:
            logger.info("Node %s, which was unregistered, is registered again.", node_id)
        return changed

    def _check_permission(self) -> None:
        manager = self._state.federation_manager
        manager.can_execute(
            self._owner, ActionType.REGISTER_SUPERNODE, RegisterSupernodeContext()
        )

    def _unknown(self, node_id: int) -> FlowerError:
        return FlowerError(
            ApiErrorCode.NODE_NOT_FOUND, f"Node {node_id} not found for {self._owner}."
        )


async def _own_nodes(
    state: Annotated[LinkState, Depends(get_linkstate)],
    account: Annotated[AccountInfo, Depends(get_account)],
) -> OwnNodes:
    return OwnNodes(state, account)


OwnNodesDependency = Annotated[OwnNodes, Depends(_own_nodes)]
