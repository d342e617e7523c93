"""Which of flwr's middleware in a SuperLink is for one of its APIs alone, and which reads."""

# `create_app` has no option to leave one of them out, or to put one between them.
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.routers.control.middlewares import (
    ControlAuthenticationMiddleware,
    ControlEventLogMiddleware,
    ControlLicenseMiddleware,
    ControlSensitiveResponseMiddleware,
)
from flwr.superlink.routers.fleet.middlewares import FleetEventLogMiddleware
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

CONTROL_API_ONLY: tuple[type[BaseHTTPMiddleware], ...] = (
    ControlSensitiveResponseMiddleware,
    ControlAuthenticationMiddleware,
    ControlLicenseMiddleware,
    ControlEventLogMiddleware,
)
FLEET_API_ONLY: tuple[type[BaseHTTPMiddleware], ...] = (
    NodeAuthMiddleware,
    FleetEventLogMiddleware,
)
# What is behind it finds a request's message in the request's state.
READS_MESSAGES: type[BaseHTTPMiddleware] = ProtobufTranslationMiddleware
