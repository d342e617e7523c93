"""Who is asked for a credential before a body is read, and how large a body may be.

Both follow from flwr's own routes, and are compared with what flwr answers itself.
"""

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.auth import create_superexec_auth_metadata, derive_auth_secret
from flwr.supercore.auth.typing import AccountInfo
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    SUPEREXEC_AUTH_BODY_SHA256_HEADER,
    SUPEREXEC_AUTH_TIMESTAMP_HEADER,
    TASK_TOKEN_HEADER,
)
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
from flwr.superlink.dependencies.account import AccountAccessDependency
from starlette.testclient import TestClient
from tests.contract.flower.in_process import SuperLink
from tests.contract.flower.in_process_run import Node, Run
from tests.contract.flower.in_process_supernode import SuperNode
from tests.superlink_application import SuperLinkApplication, key_pair

from fedstate.exchange import paths
from fedstate.flower.body_bounds import FAB, LISTS, SMALL, body_bounds
from fedstate.flower.header_checks import asks_for, header_check
from fedstate.flower.strangers import without_documentation
from fedstate.serving.answers import Refusal
from fedstate.serving.credentials import RefusedError

HTTP_HEADERS = {"content-type": "application/protobuf"}
OPEN = {
    "/health",
    "/v1/control/get-login-details",
    "/v1/control/get-auth-tokens",
    "/v1/control/refresh-auth-tokens",
}
# Of flwr's application as it is.
DOCUMENTATION = {"/docs", "/docs/oauth2-redirect", "/openapi.json"}
SECRET = b"a secret that executors know"


class Accounts(NoOpControlAuthnPlugin):
    """Accounts of which one has a token; derived from flwr's for what is not asked here."""

    def validate_tokens_in_metadata(self, metadata: Any) -> tuple[bool, AccountInfo | None]:
        right = ("right" in (value for _, value in metadata)) or None
        return bool(right), right and AccountInfo("1", "operator")


class Checking:
    """An application whose requests are checked by their headers."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._check = header_check(app)

    def ask(self, path: str, headers: Mapping[str, str] | list[tuple[str, str]]) -> Any:
        """Return whether a credential was verified, or how the request is refused."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
            "state": {},
        }

        async def ask() -> bool:
            return bool(await self._check(scope))

        try:
            return asyncio.run(ask())
        except RefusedError as error:
            return error.answer


@pytest.fixture(scope="module")
def checking(superlink: SuperLink) -> Checking:
    return Checking(superlink.app)


@pytest.fixture
def with_accounts(superlink: SuperLink, monkeypatch: pytest.MonkeyPatch) -> None:
    access = AccountAccessDependency(Accounts())
    # No instance of flwr's own plugin for a SuperLink without accounts.
    monkeypatch.setattr("fedstate.flower.header_checks.NoOpControlAuthnPlugin", type(None))
    monkeypatch.setitem(superlink.app.state._state, "account_access_dep", access)


@pytest.fixture
def with_secret(superlink: SuperLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(superlink.app.state._state, "superexec_auth_secret", SECRET)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLinkApplication]:
    application = SuperLinkApplication(tmp_path_factory.mktemp("stock"), ours=False)
    yield application
    application.close()


def posted(app: Any, path: str) -> tuple[int, dict[bytes, bytes], Any]:
    """Post to an application a body that must not be read; return status, headers and answer."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError(f"the body of a request to {path} was read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in HTTP_HEADERS.items()],
        "client": ("192.0.2.1", 1),
        "server": ("superlink", 1),
        "state": {},
    }
    asyncio.run(app(scope, receive, send))
    body = b"".join(each.get("body", b"") for each in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(body)


def test_every_route_but_a_few_asks_for_a_credential(
    superlink: SuperLink, supernode: SuperNode
) -> None:
    for app in (superlink.app, supernode.app):
        assert {path for path, asks in asks_for(app).items() if not asks} <= OPEN | DOCUMENTATION


@pytest.mark.usefixtures("with_accounts", "with_secret")
def test_who_shows_nothing_is_refused_at_every_route_and_nothing_of_the_body_is_read(
    superlink: SuperLink,
) -> None:
    asked = [path for path, asks in asks_for(superlink.app).items() if asks]
    assert len(asked) > 80
    for path in asked:
        status, headers, answer = posted(superlink.app, path)
        assert status == 401, path
        assert headers[b"connection"] == b"close"
        assert len(json.dumps(answer)) < 200, "a small body"


@pytest.mark.usefixtures("with_secret")
@pytest.mark.allowed_errors(r"\[ApiError:1008\]")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/fleet/pull-messages",
        "/v1/fleet/register-node",
        "/v1/runtime/pull-messages",
        "/v1/runtime/acquire-task",
        "/v1/runtime/responses",
    ],
)
def test_the_answer_is_flwrs_own(
    superlink: SuperLink, stock: SuperLinkApplication, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stock.app.state._state, "superexec_auth_secret", SECRET)
    flwrs = TestClient(stock.app).post(path, headers=HTTP_HEADERS)
    status, headers, answer = posted(superlink.app, path)
    assert (status, answer) == (flwrs.status_code, flwrs.json())
    for name in ("content-type", "www-authenticate"):
        assert headers.get(name.encode()) == (flwrs.headers.get(name, "").encode() or None)


def signed_by(keys: Any, at: str | None = None, **changed: str) -> dict[str, str]:
    """Return the headers with which a SuperNode signs a request."""
    timestamp = at or now().isoformat()
    key = public_key_to_bytes(keys[1])
    headers = {
        FLEET_HTTP_PUBLIC_KEY_HEADER: base64.b64encode(key).decode(),
        FLEET_HTTP_SIGNATURE_HEADER: base64.b64encode(
            sign_message(keys[0], timestamp.encode())
        ).decode(),
        TIMESTAMP_HEADER: timestamp,
    }
    return headers | changed


def test_a_nodes_signature_and_its_registration_are_asked_for(
    checking: Checking, node: Node
) -> None:
    mine, unknown = (node.key, node.key.public_key()), key_pair()
    pull, register = "/v1/fleet/pull-messages", "/v1/fleet/register-node"
    assert checking.ask(pull, signed_by(mine)) is True
    refused = Refusal(401, {"detail": "Invalid SuperNode authentication"})
    assert checking.ask(pull, signed_by(unknown)) == refused
    for path in (register, "/v1/fleet/activate-node"):
        assert checking.ask(path, signed_by(unknown)) is False, "it is nobody's, yet"
    theirs = signed_by(unknown)[FLEET_HTTP_SIGNATURE_HEADER]
    for path in (pull, register):
        for wrong in (
            signed_by(mine, **{FLEET_HTTP_SIGNATURE_HEADER: theirs}),
            signed_by(mine, **{FLEET_HTTP_SIGNATURE_HEADER: ""}),
            signed_by(mine, **{FLEET_HTTP_SIGNATURE_HEADER: "é"}),
            signed_by(mine, **{FLEET_HTTP_PUBLIC_KEY_HEADER: "no base64"}),
            signed_by(mine, **{FLEET_HTTP_PUBLIC_KEY_HEADER: "eA=="}),
            signed_by(mine, **{TIMESTAMP_HEADER: "yesterday"}),
            signed_by(mine, "2020-01-01T00:00:00+00:00"),
            signed_by(mine, "2020-01-01T00:00:00"),
            signed_by(mine, "2999-01-01T00:00:00+00:00"),
        ):
            assert checking.ask(path, wrong) == refused, wrong


def test_a_tasks_token_is_asked_for_until_the_task_has_ended(
    checking: Checking, run: Run
) -> None:
    pull = "/v1/runtime/pull-messages"
    token = {TASK_TOKEN_HEADER: run.order.token}
    assert checking.ask(pull, token) is True
    refused = Refusal(401, {"code": 1008, "detail": "Authentication failed."})
    assert checking.ask(pull, {TASK_TOKEN_HEADER: "another"}) == refused
    assert checking.ask(pull, {TASK_TOKEN_HEADER: ""}) == refused
    assert checking.ask(pull, [*token.items(), *token.items()]) == refused
    run.end()
    assert checking.ask(pull, token) == refused


def test_only_an_agents_token_is_taken_for_its_model(checking: Checking, run: Run) -> None:
    answer = checking.ask("/v1/runtime/responses", {"authorization": f"Bearer {run.order.token}"})
    assert answer.status == 401, "this one is a ServerApp's"


def signed_for(method: str, secret: bytes = SECRET) -> dict[str, str]:
    return create_superexec_auth_metadata(
        auth_secret=derive_auth_secret(secret), method=method, request=AcquireTaskRequest()
    )


@pytest.mark.usefixtures("with_secret")
@pytest.mark.parametrize("path", ["/v1/runtime/acquire-task", paths.TASKS_WAIT])
def test_an_executors_signature_is_asked_for(checking: Checking, path: str) -> None:
    headers = signed_for(paths.ACQUIRE_TASK)
    assert checking.ask(path, headers) is True
    assert checking.ask(path, headers) is True, "flwr sees that it comes for the second time"
    refused = Refusal(401, {"code": 1008, "detail": "Authentication failed."})
    for wrong in (
        signed_for("/flwr.proto.Runtime/PushObject"),
        signed_for(paths.ACQUIRE_TASK, b"another secret"),
        headers | {SUPEREXEC_AUTH_BODY_SHA256_HEADER: "0" * 64},
        headers | {SUPEREXEC_AUTH_TIMESTAMP_HEADER: "1"},
        headers | {SUPEREXEC_AUTH_TIMESTAMP_HEADER: "now"},
        headers | {SUPEREXEC_AUTH_TIMESTAMP_HEADER: "9" * 400},
        headers | {SUPEREXEC_AUTH_TIMESTAMP_HEADER: ""},
        headers | {"flwr-superexec-signature": "é"},
        [*headers.items(), *headers.items()],
        dict(list(headers.items())[1:]),
    ):
        assert checking.ask(path, wrong) == refused, wrong


def test_without_a_secret_executors_are_as_at_flwrs(checking: Checking) -> None:
    assert checking.ask("/v1/runtime/acquire-task", {}) is False


@pytest.mark.usefixtures("with_accounts")
def test_an_accounts_token_is_asked_for(checking: Checking) -> None:
    runs = "/v1/control/list-runs"
    assert checking.ask(runs, {"authorization": "Bearer right"}) is True
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic right"}):
        answer = checking.ask(runs, wrong)
        assert (answer.status, answer.content) == (401, {"detail": "Not authenticated"})
        assert {name.lower() for name in answer.headers} == {"www-authenticate"}
    assert checking.ask("/v1/control/get-login-details", {}) is False


def test_without_accounts_the_control_api_is_as_flwrs(checking: Checking) -> None:
    for headers in ({}, {"authorization": "Bearer anything"}):
        assert checking.ask("/v1/control/list-runs", headers) is False


def test_a_path_that_is_not_there_is_left_to_the_application(checking: Checking) -> None:
    assert checking.ask("/v1/fleet/no-such-route", {}) is False


MESSAGES = 3 * 2**30
LARGE = {
    "/v1/fleet/push-messages",
    "/v1/fleet/push-object",
    paths.FLEET_PUSH,
    paths.FLEET_REPLY,
    "/v1/runtime/push-messages",
    "/v1/runtime/push-object",
    "/v1/runtime/push-task-message",
    "/v1/runtime/push-task-output",
    paths.RUNTIME_PUSH,
    paths.RUNTIME_SEND,
}


def test_each_body_has_the_bound_of_what_it_carries(
    superlink: SuperLink, supernode: SuperNode
) -> None:
    for app in (superlink.app, supernode.app):
        bound = body_bounds(app, MESSAGES)
        bounds = {path: bound("POST", path) for path in asks_for(app)}
        assert {path for path, size in bounds.items() if size == MESSAGES} == (
            LARGE & bounds.keys()
        )
        assert all(bounds[path] == SMALL for path in OPEN & bounds.keys())
        assert max(size for path, size in bounds.items() if path not in LARGE) <= max(FAB, LISTS)
        for path, size in bounds.items():
            if path.startswith("/v1/control/"):
                assert size in (SMALL, 2**20, FAB), path
        assert bound("POST", "/no-such-path") == SMALL
    assert bound("POST", "/v1/runtime/send-task-heartbeat") == SMALL


def test_a_body_that_is_too_large_is_refused_after_the_credential(
    superlink: SuperLink, run: Run
) -> None:
    answer = superlink._client.post(
        "/v1/runtime/send-task-heartbeat",
        content=b"x" * (SMALL + 1),
        headers=HTTP_HEADERS | {TASK_TOKEN_HEADER: run.order.token},
    )
    assert answer.status_code == 413
    assert f"takes {SMALL} at the most" in answer.json()["detail"]


@pytest.mark.parametrize("path", sorted(DOCUMENTATION))
def test_the_pages_that_describe_the_routes_are_off(
    superlink: SuperLink, stock: SuperLinkApplication, path: str
) -> None:
    assert superlink._client.get(path).status_code == 404
    assert {path} <= {getattr(each, "path", "") for each in stock.app.routes}


def test_without_documentation_the_rest_is_there(tmp_path: Path) -> None:
    application = SuperLinkApplication(tmp_path, ours=False)
    before = set(asks_for(application.app))
    without_documentation(application.app)
    assert set(asks_for(application.app)) == before - DOCUMENTATION
    application.close()
