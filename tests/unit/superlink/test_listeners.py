"""Where each API of a SuperLink is served, and what is said of addresses that cannot be."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from fedstate.errors import SettingError
from fedstate.flower.superlink_app import parse
from fedstate.serving.doors import Doors
from fedstate.serving.server import Listener, SocketListener
from fedstate.superlink.listeners import Addresses
from fedstate.superlink.main import make_app

ALL = Addresses(["[::1]:1", "localhost:4"], ["127.0.0.1:2"], ["runtime:3"])


def test_each_api_has_listeners_of_its_own() -> None:
    ALL.check(one_port=False)
    found = [
        (each.name, each.host, each.port, each.option, each.paths)
        for each in ALL.listeners("", 9)
        if isinstance(each, Listener)
    ]
    assert found == [
        ("Control API", "::1", 1, "--control", ["/v1/control/"]),
        ("Control API", "localhost", 4, "--control", ["/v1/control/"]),
        ("Fleet API", "127.0.0.1", 2, "--fleet", ["/v1/fleet/"]),
        ("Runtime API", "runtime", 3, "--runtime", ["/v1/runtime/"]),
    ]
    assert ALL.for_executors == ("runtime", 3)


@pytest.mark.parametrize("apis", [ALL, Addresses()])
def test_a_socket_is_for_the_runtime_api_alone(apis: Addresses) -> None:
    listeners = replace(apis, socket=Path("/run/api.sock")).listeners("127.0.0.1", 8000)
    assert listeners[:-1] == apis.listeners("127.0.0.1", 8000)
    socket = SocketListener("Runtime API", Path("/run/api.sock"), ["/v1/runtime/"])
    assert listeners[-1] == socket


def test_without_addresses_everything_is_on_one_port() -> None:
    none = Addresses()
    none.check(one_port=True)
    (one,) = none.listeners("127.0.0.1", 8000)
    assert isinstance(one, Listener)
    assert (one.address, one.option, one.paths) == ("127.0.0.1:8000", "--port", ())
    assert none.for_executors is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"control"}, "--fleet and --runtime"),
        ({"fleet"}, "--control and --runtime"),
        ({"runtime"}, "--control and --fleet"),
        ({"control", "fleet"}, "--runtime"),
        ({"control", "runtime"}, "--fleet"),
        ({"fleet", "runtime"}, "--control"),
    ],
)
def test_one_without_the_others_is_said(given: set[str], missing: str) -> None:
    apis: dict[str, Any] = {api: ["127.0.0.1:1"] for api in given}
    addresses = Addresses(**apis)
    with pytest.raises(SettingError, match=f"^There is no {missing}: give .* on one port.$"):
        addresses.check(one_port=False)


def test_one_port_and_three_is_said() -> None:
    with pytest.raises(SettingError, match=r"--host and --port are where .*; leave them out"):
        ALL.check(one_port=True)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "localhost", "localhost:", ":8000", "8000", "a:0", "a:65536", "a:-1", "a:x"),
        *("a:8 ", "a:²", "https://a:8000", "::1:8000", "[]:8000", "[::1]", "a:80/"),
    ],
)
@pytest.mark.parametrize("api", ["control", "fleet", "runtime"])
def test_what_is_no_address_is_said_with_its_option(api: str, text: str) -> None:
    given: dict[str, Any] = {each: ["127.0.0.1:1"] for each in ("control", "fleet", "runtime")}
    with pytest.raises(SettingError, match=f"^--{api} is .* which is not HOST:PORT"):
        Addresses(**{**given, api: ["127.0.0.1:1", text]}).check(one_port=False)


def test_every_route_of_a_superlink_is_answered_by_one_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new route of flwr's that is behind no door would be lost without a word."""
    monkeypatch.setattr("sys.argv", ["pytest"])
    arguments = ["--insecure", "--database", str(tmp_path / "link.db")]
    app = make_app(parse(arguments, program="fedstate superlink", description=""))
    off = {"/docs", "/openapi.json", "/docs/oauth2-redirect"}
    listeners = ALL.listeners("", 9)
    doors = {each.option: each.paths for each in listeners if isinstance(each, Listener)}
    shared = {"/health"}
    asked = {
        context.route.path
        for context in iter_route_contexts(app.routes)
        if isinstance(context.route, APIRoute)
    } - shared
    assert len(asked) > 50
    for path in asked - off:
        assert sum(path.startswith(tuple(paths)) for paths in doors.values()) == 1, path

    async def statuses() -> set[int]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(Doors(app, doors["--fleet"])), base_url="http://here"
        ) as client:
            elsewhere = [path for path in asked if not path.startswith("/v1/fleet/")]
            return {(await client.post(path)).status_code for path in (*elsewhere, *off)}

    assert asyncio.run(statuses()) == {404}
