"""Our SuperLink is flwr's, with our routes and middleware, and notifications for what happens."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from fedstate.accounts.door import ControlDoor
from fedstate.exchange import paths
from fedstate.exchange.signals import Notifier, Signals
from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.request_labels import LabelledRequests
from fedstate.flower.superlink_app import parse
from fedstate.serving.bodies import BoundedBodies
from fedstate.serving.credentials import Credentials
from fedstate.serving.server import Server
from fedstate.superlink.listeners import Addresses
from fedstate.superlink.main import extend, make_app, run_superlink
from fedstate.superlink.middleware import BypassableMiddleware


def routes_of(app: FastAPI) -> set[str]:
    return {
        context.route.path
        for context in iter_route_contexts(app.routes)
        if isinstance(context.route, APIRoute)
    }


class SuperLink:
    """Our SuperLink, which is not started, and the routes that it had before ours."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "link.db"
        arguments = ["--insecure", "--database", str(self.database)]
        self.app = make_app(parse(arguments, program="fedstate superlink", description=""))
        self.flwrs = routes_of(self.app)
        self.signals = Signals()
        extend(self.app, self.signals)

    @property
    def middleware(self) -> list[object]:
        return [each.cls for each in self.app.user_middleware]


@pytest.fixture(scope="module")
def superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["pytest"])  # which flwr reads, and `parse` sets
        yield SuperLink(tmp_path_factory.mktemp("superlink"))


def test_flwrs_routes_stay_and_ours_are_added(superlink: SuperLink) -> None:
    ours = {value for name, value in vars(paths).items() if name.isupper()} - {paths.ACQUIRE_TASK}
    assert routes_of(superlink.app) == superlink.flwrs | ours
    assert not superlink.flwrs & ours
    assert len(ours) == 15


def test_the_paths_that_notify_are_routes(superlink: SuperLink) -> None:
    notifier = superlink.app.user_middleware[superlink.middleware.index(Notifier)]
    notify: Any = notifier.kwargs["notify"]
    ours = {paths.FLEET_PUSH, paths.FLEET_REPLY, paths.RUNTIME_PUSH, paths.RUNTIME_SEND}
    assert set(notify) - superlink.flwrs == ours
    assert len(notify) == 14


def test_the_door_is_around_all_that_answers_and_six_pieces_of_middleware_can_be_bypassed(
    superlink: SuperLink,
) -> None:
    """The Notifier sees the status that a client sees, also that of a refusal by middleware."""
    # The labels of lines are around all, also those of what the door says.
    labels, *others = superlink.middleware
    assert labels is LabelledRequests
    assert others[:4] == [ControlDoor, Credentials, BoundedBodies, Notifier]
    assert superlink.middleware.count(BypassableMiddleware) == 6


def test_a_new_database_has_our_state_and_our_layout(superlink: SuperLink) -> None:
    assert isinstance(superlink.app.state.linkstate_factory.state(), BulkLinkState)
    with closing(sqlite3.connect(superlink.database)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (16384,)


@pytest.mark.parametrize(
    "path", ["/v1/runtime/push-messages", "/v1/fleet/push-messages", paths.FLEET_WAIT]
)
def test_who_is_not_authenticated_is_refused_and_notifies_nobody(
    superlink: SuperLink, path: str
) -> None:
    signals = superlink.signals
    counts = signals.messages.count, signals.replies.count, signals.tasks.count

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(superlink.app), base_url="http://superlink"
        ) as client:
            return await client.post(path, headers={"content-type": "application/protobuf"})

    assert 400 <= asyncio.run(post()).status_code < 500
    assert (signals.messages.count, signals.replies.count, signals.tasks.count) == counts


@pytest.mark.parametrize(
    ("runtime", "address"), [(None, "127.0.0.1:8000"), ("0.0.0.0:4713", "127.0.0.1:4713")]
)
def test_the_executor_that_a_superlink_starts_is_given_the_runtime_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str | None, address: str
) -> None:
    commands: list[list[str]] = []

    class Executor:
        def __init__(self, command: list[str], **_: Any) -> None:
            commands.append(command)

        def terminate(self) -> None:
            pass

        def wait(self, timeout: float) -> None:
            pass

    def run(server: Server) -> None:
        lifespan: Any = server.config.app
        lifespan.state.superlink_lifespan.startup()
        lifespan.state.superlink_lifespan.shutdown()
        server.started = True

    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.setattr("fedstate.flower.superlink_app.subprocess.Popen", Executor)
    monkeypatch.setattr(Server, "run", run)
    socket = tmp_path / "api.sock" if runtime else None
    addresses = Addresses(["a:1"], ["b:2"], [runtime], socket) if runtime else None
    arguments = ["--insecure", "--database", str(tmp_path / "link.db")]
    run_superlink(parse(arguments, program="fedstate superlink", description=""), addresses)
    (command,) = commands
    assert command[command.index("--runtime-api-address") + 1] == address
    given = command[command.index("--runtime-socket") + 1] if runtime else None
    assert given == (str(socket) if socket else None)
