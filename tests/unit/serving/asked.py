"""The application behind the server that strangers try."""

import asyncio
import threading

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from fedstate.serving.answers import refusal
from fedstate.serving.bodies import BoundedBodies
from fedstate.serving.credentials import Credentials, RefusedError
from fedstate.serving.limits import Limits

TOKEN = {"token": "right"}
BOUND = 1000


async def check(scope: Scope) -> bool:
    """Ask for a token at every path but one."""
    if scope["path"] == "/health":
        return False
    if (b"token", b"right") not in scope["headers"]:
        raise RefusedError(refusal(401, "Not authenticated"))
    return True


class LateEnd(Response):
    """An answer that is there before the application says so, as behind Flower's middleware."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await asyncio.sleep(0.2)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def application(limits: Limits) -> Credentials:
    app = FastAPI()
    released = threading.Event()

    @app.get("/health")
    def health() -> str:
        return "well"

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.post("/large")
    async def large(request: Request) -> int:
        return len(await request.body())

    @app.post("/late")
    async def late(request: Request) -> LateEnd:
        return LateEnd(str(len(await request.body())))

    @app.post("/wait")
    def wait() -> bool:
        return released.wait(20)

    @app.post("/release")
    def release() -> None:
        released.set()

    def bound(_method: str, path: str) -> int:
        return 10**9 if path == "/large" else BOUND

    return Credentials(BoundedBodies(app, limits, bound), check)
