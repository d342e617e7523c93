"""The middleware that flwr puts around its handlers, and what some requests may bypass."""

import asyncio

import pytest
from fastapi import FastAPI, Request, Response
from flwr.supercore.error.http import http_error_translator
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.main import _get_middleware
from starlette.middleware.base import BaseHTTPMiddleware

from fedstate.superlink.middleware import BYPASSES


def test_this_is_all_middleware_and_two_pieces_are_never_bypassed() -> None:
    middleware = _get_middleware()
    always = [each for each in middleware if each.cls not in BYPASSES]
    assert {each.cls for each in middleware} - {each.cls for each in always} == set(BYPASSES)
    kinds: list[object] = [each.cls for each in always]
    assert kinds == [BaseHTTPMiddleware, ProtobufTranslationMiddleware]
    assert always[0].kwargs == {"dispatch": http_error_translator}


@pytest.mark.parametrize(
    ("middleware", "prefix"),
    [(middleware, prefix) for middleware, prefixes in BYPASSES.items() for prefix in prefixes],
)
def test_middleware_does_nothing_for_requests_that_bypass_it(
    middleware: type, prefix: str
) -> None:
    """It has an app without any of the state that it would need, and changes no answer."""
    answer = Response("as it was", headers={"Kept": "yes"})
    calls: list[Request] = []

    async def call_next(request: Request) -> Response:
        calls.append(request)
        return answer

    request = Request(
        {"type": "http", "method": "POST", "path": f"{prefix}push-messages", "headers": []}
        | {"query_string": b"", "server": ("here", 1), "scheme": "https", "app": FastAPI()}
    )
    headers = list(answer.raw_headers)
    given = asyncio.run(middleware(FastAPI()).dispatch(request, call_next))
    assert given is answer
    assert given.raw_headers == headers
    assert calls == [request]
