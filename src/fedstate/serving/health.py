"""What a server says of itself when it is asked for its health."""

from collections.abc import Callable

from fastapi import FastAPI

from fedstate.serving.doors import HEALTH


def tell_problems(api: FastAPI, problems: Callable[[], list[str]]) -> None:
    """Let the answer to who asks for a server's health name its problems.

    The server is well all the same: nobody is to start it again because of them.

    Parameters
    ----------
    api : FastAPI
        The application, whose own answer this one replaces.
    problems : callable
        Returns one sentence for each problem.
    """
    api.router.routes[:] = [
        route for route in api.router.routes if getattr(route, "path", None) != HEALTH
    ]

    async def health() -> dict[str, object]:
        return {"status": "ok", "problems": problems()}

    api.add_api_route(HEALTH, health, methods=["GET", "HEAD"])
