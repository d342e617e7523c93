"""A server in a process that may have few descriptors, and many connections: a program."""

import resource
import sys

from starlette.types import Receive, Scope, Send

from fedstate.serving.limits import Limits
from fedstate.serving.protocol import bounded_serving
from fedstate.serving.server import Listener, Server

DESCRIPTORS = 64


async def healthy(scope: Scope, _: Receive, send: Send) -> None:
    """Answer every request."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})


def main(port: int) -> None:
    """Serve until a signal."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    limits = Limits(connections=1000, strangers=1000, strangers_of_peer=1000)
    listener = Listener("API", "127.0.0.1", port)
    Server(healthy, [listener], lifespan="off", **bounded_serving(limits)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
