"""The lines that a server logs for a request are labelled with the run and the node of it.

Which these are, is known step by step: from the credential in the headers (`header_checks`),
then from the message. flwr's lines are logged in between, and around, by tasks and threads of
their own.
"""

from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fedstate.logs import note_labels, of_each_request


class LabelledRequests:
    """An application whose lines have the labels of their requests, as far as they are known.

    Parameters
    ----------
    app : ASGI application
        The application, with all that is around it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with of_each_request():
            await self._app(scope, receive, send)


class _Messages:
    """An application behind flwr's middleware, where the message is known."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if (message := scope.get("state", {}).get("protobuf_request")) is not None:
            note_labels(run=_run_of(message), node=_node_of(message))
        await self._app(scope, receive, send)


def label_requests(app: FastAPI) -> None:
    """Label the lines of an application of flwr's; call it when all middleware is there."""
    label_messages(app)
    app.add_middleware(LabelledRequests)


def label_messages(app: FastAPI) -> None:
    """Note what the messages of requests say; `LabelledRequests` has to be around all."""
    app.user_middleware.append(Middleware(_Messages))


def _of(message: Any, name: str) -> int:
    if name not in message.DESCRIPTOR.fields_by_name:
        return 0
    value = getattr(message, name)
    return value if isinstance(value, int) else 0


def _run_of(message: Any) -> int:
    # All of them are of one run.
    if "messages_list" in message.DESCRIPTOR.fields_by_name and message.messages_list:
        return int(message.messages_list[0].metadata.run_id)
    return _of(message, "run_id")


def _node_of(message: Any) -> int:
    if "node" in message.DESCRIPTOR.fields_by_name and hasattr(message.node, "node_id"):
        return int(message.node.node_id)
    return _of(message, "node_id")
