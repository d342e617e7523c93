"""The nodes of a SuperLink: routes for what their operator changes, beside flwr's own."""

from fastapi import FastAPI

from fedstate.exchange import paths
from fedstate.exchange.messages import (
    ReplaceNodeKeyRequest,
    ReplaceNodeKeyResponse,
    RestoreNodeRequest,
    RestoreNodeResponse,
)
from fedstate.exchange.routes import add_routes
from fedstate.flower.node_accounts import OwnNodesDependency
from fedstate.flower.routing import ProtobufRequest, protobuf_router
from fedstate.logs import logger

router = protobuf_router()


def serve_nodes(app: FastAPI) -> None:
    """Add the routes to our SuperLink; say so if its operator does not choose who joins."""
    if not app.state.enable_supernode_auth:
        logger.warning(
            "Anybody who reaches the Fleet API may join as a node; with --enable-supernode-auth "
            "the nodes that you register do."
        )
    types = {
        paths.CONTROL_REPLACE_KEY: ReplaceNodeKeyRequest,
        paths.CONTROL_RESTORE_NODE: RestoreNodeRequest,
    }
    add_routes(app, types, router)


@router.post(paths.CONTROL_REPLACE_KEY)
def control_replace_node_key(
    request: ProtobufRequest, nodes: OwnNodesDependency
) -> ReplaceNodeKeyResponse:
    """Give a node another key: the old one is refused from then on."""
    return ReplaceNodeKeyResponse(changed=nodes.replace_key(request.node_id, request.public_key))


@router.post(paths.CONTROL_RESTORE_NODE)
def control_restore_node(
    request: ProtobufRequest, nodes: OwnNodesDependency
) -> RestoreNodeResponse:
    """Take back a node that was unregistered."""
    return RestoreNodeResponse(changed=nodes.restore(request.node_id))
