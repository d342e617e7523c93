"""What flwr's authentication says of a request, as far as the request's headers tell.

flwr checks a request once it has read and parsed the body. Here the same is asked of the headers
alone, by flwr's own functions where they can be called without a body. flwr's checks stay behind:
they see that the body is the one that was signed, and that the node is the one whose key it is.

Which route asks for what is read from the routes themselves, so that a route that a new version
brings is not forgotten.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from fastapi import FastAPI, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts

# The kind of request of which flwr checks that the key in its body is the one of the headers.
from flwr.proto.fleet_pb2 import RegisterNodeFleetRequest

# What an executor signs.
from flwr.supercore.auth import (
    compute_superexec_signature,
    derive_auth_secret,
    verify_superexec_signature,
)

# How flwr names what comes with a request, and how old a signature of an executor's may be.
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    MAX_TIMESTAMP_DIFF_SECONDS,
    MIN_TIMESTAMP_DIFF_SECONDS,
    SUPEREXEC_AUTH_BODY_SHA256_HEADER,
    SUPEREXEC_AUTH_NONCE_HEADER,
    SUPEREXEC_AUTH_SIGNATURE_HEADER,
    SUPEREXEC_AUTH_TIMESTAMP_HEADER,
    TASK_TOKEN_HEADER,
)
from flwr.supercore.date import now

# What a route declares that it asks for.
from flwr.supercore.dependencies.runtime import SuperExecAuthDependency, get_task

# flwr's errors, and what it answers for each.
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP

# The one route that authenticates an AgentApp in its handler, and answers in another form.
from flwr.supercore.routers.runtime.responses import (
    _authenticate,
    _error_response,
    _ResponsesError,
)

# What a SuperLink without accounts has in the place of their check.
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin

# The calls with which an account logs in, and so without its token.
from flwr.superlink.routers.control.middlewares import CONTROL_AUTH_ROUTE_KEYS

# flwr's own check of a node.
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from starlette.types import Scope

from fedstate.logs import note_labels
from fedstate.serving.answers import Refusal
from fedstate.serving.credentials import Check, RefusedError

_FLEET, _CONTROL = "/v1/fleet/", "/v1/control/"
_RESPONSES = "/v1/runtime/responses"
# A node registers and activates itself before the SuperLink knows its key; flwr tells it what is
# wrong with one that is not registered.
BEFORE_REGISTRATION = (f"{_FLEET}register-node", f"{_FLEET}activate-node")

# How many requests are checked at once, in threads of their own: those in which requests are
# handled are not taken by strangers with false signatures.
_THREADS = 4


@dataclass(frozen=True)
class _HeaderCheck:
    """The check of one route.

    Attributes
    ----------
    verify : callable
        Raises one of flwr's errors; returns whether a credential was verified.
    headers : tuple of str
        Without one of these there is nothing to verify.
    """

    verify: Callable[[Request], bool]
    headers: tuple[str, ...] = ()

    def who(self, request: Request) -> str:
        """Return what tells whoever has been verified from others."""
        if self.headers == _EXECUTOR_HEADERS:  # of which none stays the same
            return "an executor"
        return request.headers.get(self.headers[0], "somebody")


def header_check(app: FastAPI) -> Check:
    """Return the check of the requests to an application of flwr's, which has all its routes."""
    checks = dict(_checks(app))
    # One in each event loop: those who wait for another's are never woken.
    limiter_of_loop: RunVar[anyio.CapacityLimiter] = RunVar("header checks")

    async def check(scope: Scope) -> str:
        found = checks.get((scope["method"], scope["path"]))
        if found is None:
            return ""
        # A state of its own: what flwr's functions leave there is not for the handlers.
        request = Request({**scope, "app": app, "state": {}})
        if not all(name in request.headers for name in found.headers):
            # Most strangers have nothing to show, and take no thread.
            return found.who(request) if _answering(found.verify, request) else ""
        if (limiter := limiter_of_loop.get(None)) is None:
            limiter = anyio.CapacityLimiter(_THREADS)
            limiter_of_loop.set(limiter)
        verified = await anyio.to_thread.run_sync(
            _answering, found.verify, request, limiter=limiter
        )
        return found.who(request) if verified else ""

    return check


def asks_for(app: FastAPI) -> dict[str, bool]:
    """Return for each path of an application whether its requests are checked here."""
    checks = dict(_checks(app))
    return {
        str(context.path): (method, str(context.path)) in checks
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }


def _answering(verify: Callable[[Request], bool], request: Request) -> bool:
    """Call a check; turn flwr's errors into the answers that flwr gives for them."""
    try:
        return verify(request)
    except FlowerError as error:
        spec = API_ERROR_MAP[error.code]
        answer = Refusal(
            spec.http_status_code, error.to_json(spec.public_message), spec.http_headers or {}
        )
    except HTTPException as error:
        answer = Refusal(error.status_code, {"detail": error.detail}, error.headers or {})
    except _ResponsesError as error:
        answer = _refusal_of(_error_response(error))
    raise RefusedError(answer)


def _refusal_of(response: JSONResponse) -> Refusal:
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in ("content-type", "content-length")
    }
    return Refusal(response.status_code, json.loads(bytes(response.body)), headers)


def _checks(app: FastAPI) -> Iterator[tuple[tuple[str, str], _HeaderCheck]]:
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.route, APIRoute):
            continue
        check = _check_of(str(context.path), list(_dependencies(context.route.dependant)))
        for method in context.methods or () if check is not None else ():
            if (method, context.path) not in CONTROL_AUTH_ROUTE_KEYS and check is not None:
                yield (method, str(context.path)), check


def _dependencies(dependant: Dependant) -> Iterator[Any]:
    for each in dependant.dependencies:
        yield each.call
        yield from _dependencies(each)


def _check_of(path: str, dependencies: list[Any]) -> _HeaderCheck | None:
    if path.startswith(_FLEET):
        headers = (FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER)
        return _HeaderCheck(_node if path in BEFORE_REGISTRATION else _registered_node, headers)
    if path.startswith(_CONTROL):
        return _HeaderCheck(_account, ("authorization",))
    if path == _RESPONSES:
        return _HeaderCheck(_agent, ("authorization",))
    for each in dependencies:
        if isinstance(each, SuperExecAuthDependency):
            return _HeaderCheck(_executor_of(each.method), _EXECUTOR_HEADERS)
    return _HeaderCheck(_task, (TASK_TOKEN_HEADER,)) if get_task in dependencies else None


def _node(request: Request) -> bool:
    """Check that whoever has sent the headers has the key in them, and has sent them now."""
    if not (encoded := request.headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER)):
        raise _no_node()
    try:
        public_key = b64decode(encoded, validate=True)
    except ValueError:
        raise _no_node() from None
    # Of this kind of request flwr compares nothing with what its state knows.
    request.state.protobuf_request = RegisterNodeFleetRequest(public_key=public_key)
    authenticate_node(request)
    request.state.public_key = public_key
    return False


def _registered_node(request: Request) -> bool:
    """Check also that the key is one of a node."""
    _node(request)
    state = request.app.state.linkstate_factory.state()
    node_id = state.get_node_id_by_public_key(request.state.public_key)
    if node_id is None:
        raise _no_node()
    note_labels(node=node_id)
    return True


def _no_node() -> HTTPException:
    return HTTPException(401, "Invalid SuperNode authentication")


def _task(request: Request) -> bool:
    task = get_task(request, request.headers.get(TASK_TOKEN_HEADER), _runtime_state(request))
    note_labels(run=task.run_id)
    return True


def _agent(request: Request) -> bool:
    _authenticate(request, _runtime_state(request))
    return True


def _runtime_state(request: Request) -> Any:
    return request.app.state.runtime_state_factory.state()


_EXECUTOR_HEADERS = (
    SUPEREXEC_AUTH_TIMESTAMP_HEADER,
    SUPEREXEC_AUTH_NONCE_HEADER,
    SUPEREXEC_AUTH_BODY_SHA256_HEADER,
    SUPEREXEC_AUTH_SIGNATURE_HEADER,
)


def _executor_of(method: str) -> Callable[[Request], bool]:
    """Return the check of a call that executors sign, where a secret is configured.

    The headers have the body's digest, and are signed with it. That the body has it, and that the
    request comes for the first time, flwr checks afterwards.
    """

    def executor(request: Request) -> bool:
        secret: bytes | None = request.app.state.superexec_auth_secret
        if secret is None:
            return False
        values = [request.headers.getlist(name) for name in _EXECUTOR_HEADERS]
        if any(len(each) != 1 or not each[0] for each in values) or not _is_signed(
            secret, method, *(each[0] for each in values)
        ):
            raise FlowerError(
                ApiErrorCode.RUNTIME_AUTHENTICATION_FAILED,
                f"SuperExec authentication failed for {method}.",
            )
        return True

    return executor


def _is_signed(
    secret: bytes, method: str, timestamp: str, nonce: str, digest: str, signature: str
) -> bool:
    try:
        age = now().timestamp() - int(timestamp)
        expected = compute_superexec_signature(
            auth_secret=derive_auth_secret(secret),
            method=method,
            timestamp=int(timestamp),
            nonce=nonce,
            body_sha256=digest,
        )
        return (
            MIN_TIMESTAMP_DIFF_SECONDS < age < MAX_TIMESTAMP_DIFF_SECONDS
            and verify_superexec_signature(expected, signature)
        )
    except (ValueError, OverflowError, TypeError):  # of numbers and characters that are none
        return False


def _account(request: Request) -> bool:
    access = request.app.state.account_access_dep
    access(request)
    return not isinstance(access.authn_plugin, NoOpControlAuthnPlugin)
