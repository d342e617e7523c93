"""Routes of our own in flwr's HTTP APIs, behind flwr's authentication."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends

# The task whose token came with the request, and the signature of an executor's request.
from flwr.supercore.dependencies.runtime import SuperExecAuthDependency, TaskDependency

# The one kind of error that flwr's middleware turns into an answer.
from flwr.supercore.error import ApiErrorCode, FlowerError

# flwr's middleware reads and writes the messages, by a table of the requests' types.
from flwr.supercore.protobuf.routing import ProtobufRoute
from flwr.supercore.protobuf.translation import (
    PROTOBUF_REQUEST_DEPENDENCY,
    PROTOBUF_REQUEST_TYPES,
)

# What a handler declares as the type of a parameter: the message of the request; and a task,
# without which the request is refused.
ProtobufRequest = Annotated[Any, PROTOBUF_REQUEST_DEPENDENCY]
AuthenticatedTask = TaskDependency


def protobuf_router() -> APIRouter:
    """Return a router for handlers that return protobuf messages."""
    return APIRouter(route_class=ProtobufRoute)


def register_requests(types: Mapping[str, type]) -> None:
    """Let flwr's middleware parse the requests to these paths."""
    for path, request_type in types.items():
        PROTOBUF_REQUEST_TYPES["POST", path] = request_type


def executor_dependency(method: str) -> Any:
    """Return the dependency of a route for executors, which sign the name of this method."""
    return Depends(SuperExecAuthDependency(method))


def malformed_request(reason: str) -> Exception:
    """Return the error that is answered with HTTP status 400."""
    return FlowerError(ApiErrorCode.INVALID_PROTOBUF_PAYLOAD, reason)
