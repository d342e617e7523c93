"""Our SuperLink is flwr's, with our routes and middleware, and notifications for what happens."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from fedstate.exchange import paths
from fedstate.exchange.signals import Notifier, Signals
from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.superlink_app import parse
from fedstate.superlink import options
from fedstate.superlink.main import extend, make_app
from fedstate.superlink.middleware import BypassableMiddleware


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setattr("sys.argv", ["pytest"])  # which flwr reads, and `parse` sets
    arguments = ["--insecure", "--database", str(tmp_path / "link.db")]
    return make_app(parse(arguments, program="fedstate superlink", description=""))


@pytest.fixture
def signals() -> Signals:
    return Signals()


def routes_of(app: FastAPI) -> set[str]:
    return {
        context.route.path
        for context in iter_route_contexts(app.routes)
        if isinstance(context.route, APIRoute)
    }


def kinds_of(app: FastAPI) -> list[object]:
    return [each.cls for each in app.user_middleware]


def test_flwrs_routes_stay_and_ours_are_added(app: FastAPI, signals: Signals) -> None:
    flwrs = routes_of(app)
    extend(app, signals)
    ours = {value for name, value in vars(paths).items() if name.isupper()} - {paths.ACQUIRE_TASK}
    assert routes_of(app) == flwrs | ours
    assert not flwrs & ours
    assert len(ours) == 8


def test_the_paths_that_notify_are_routes_of_flwrs(app: FastAPI, signals: Signals) -> None:
    flwrs = routes_of(app)
    extend(app, signals)
    assert kinds_of(app)[0] is Notifier
    notify: Any = app.user_middleware[0].kwargs["notify"]
    assert len(notify) == 4
    assert set(notify) <= flwrs


def test_notifications_are_outermost_and_six_pieces_of_middleware_can_be_bypassed(
    app: FastAPI, signals: Signals
) -> None:
    """The Notifier sees the status that a client sees, also that of a refusal by middleware."""
    extend(app, signals)
    assert kinds_of(app)[0] is Notifier
    assert kinds_of(app).count(BypassableMiddleware) == 6


def test_a_new_database_has_our_state_and_our_layout(app: FastAPI, tmp_path: Path) -> None:
    assert isinstance(app.state.linkstate_factory.state(), BulkLinkState)
    with closing(sqlite3.connect(tmp_path / "link.db")) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (16384,)


@pytest.mark.parametrize(
    "path", ["/v1/runtime/push-messages", "/v1/fleet/push-messages", paths.FLEET_WAIT]
)
def test_who_is_not_authenticated_is_refused_and_notifies_nobody(
    app: FastAPI, signals: Signals, path: str
) -> None:
    extend(app, signals)
    counts = signals.messages.count, signals.replies.count, signals.tasks.count

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://superlink"
        ) as client:
            return await client.post(path, headers={"content-type": "application/protobuf"})

    assert 400 <= asyncio.run(post()).status_code < 500
    assert (signals.messages.count, signals.replies.count, signals.tasks.count) == counts


def test_the_help_says_what_is_different(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: fedstate superlink")
    assert "push notification" in text


def test_wrong_usage_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.main(["--no-such-option"])
    assert ended.value.code == 2
    assert "fedstate superlink: error: unrecognized arguments" in capsys.readouterr().err
