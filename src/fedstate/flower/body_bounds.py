"""How large the body of a request to flwr's APIs may be, by what it is for."""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

# What a FAB may have.
from flwr.common.constant import FAB_MAX_SIZE

from fedstate.exchange import paths
from fedstate.flower.header_checks import BEFORE_REGISTRATION, asks_for

# For whoever has shown nothing, and for what says only who it is from.
SMALL = 64 * 1024
# For what lists things: messages, objects, nodes, runs.
LISTS = 16 * 2**20
# A FAB comes with a run's config and the list of its files.
FAB = FAB_MAX_SIZE + 2 * 2**20

_SMALL = (
    *BEFORE_REGISTRATION,
    "/v1/fleet/deactivate-node",
    "/v1/fleet/unregister-node",
    "/v1/fleet/send-node-heartbeat",
    "/v1/fleet/pull-messages",
    "/v1/fleet/get-run",
    "/v1/fleet/get-fab",
    "/v1/fleet/pull-object",
    "/v1/fleet/confirm-message-received",
    "/v1/runtime/acquire-task",
    paths.TASKS_WAIT,
    "/v1/runtime/send-task-heartbeat",
    "/v1/runtime/pull-task-input",
    "/v1/runtime/pull-object",
    "/v1/runtime/confirm-message-received",
    "/v1/runtime/create-task",
    "/v1/runtime/get-run-series-events",
    "/v1/runtime/get-compacted-contexts",
    "/v1/runtime/pull-task-message",
    "/v1/runtime/record-task-usage",
    "/v1/runtime/get-connector",
    "/v1/runtime/get-nodes",
)
_FABS = (
    "/v1/control/start-run",
    "/v1/control/start-automation",
    "/v1/control/add-app",
    "/v1/runtime/start-automation",
)
# Messages, their objects, Contexts.
_MESSAGES = (
    "/v1/fleet/push-messages",
    "/v1/fleet/push-object",
    paths.FLEET_PUSH,
    paths.FLEET_REPLY,
    "/v1/runtime/push-messages",
    "/v1/runtime/push-object",
    "/v1/runtime/push-task-output",
    "/v1/runtime/push-task-message",
    paths.RUNTIME_PUSH,
    paths.RUNTIME_SEND,
)
# A picture, and no more.
_CONTROL_BYTES = 2**20
_CONTROL = "/v1/control/"


def body_bounds(app: FastAPI, message_bytes: int) -> Callable[[str, str], int]:
    """Return how large the bodies of requests to an application may be.

    Parameters
    ----------
    app : FastAPI
        The application, with all of its routes.
    message_bytes : int
        The most for a request that carries a message, its objects or a Context.

    Returns
    -------
    callable
        The bound for a method and a path, in bytes.
    """
    checked = asks_for(app)
    bounds = dict.fromkeys(_SMALL, SMALL)
    bounds |= dict.fromkeys(_FABS, FAB)
    bounds |= dict.fromkeys(_MESSAGES, message_bytes)

    def bound(_method: str, path: str) -> int:
        if not checked.get(path):
            return SMALL
        return bounds.get(path, _CONTROL_BYTES if path.startswith(_CONTROL) else LISTS)

    return bound


def paths_of(app: FastAPI) -> set[str]:
    """Return the paths that an application answers."""
    return {str(context.path) for context in iter_route_contexts(app.routes)}
