"""flwr's applications behind the limits for strangers."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from fedstate.flower.body_bounds import body_bounds
from fedstate.flower.header_checks import header_check
from fedstate.serving.bodies import BoundedBodies
from fedstate.serving.credentials import Credentials
from fedstate.serving.limits import Limits

_DOCUMENTATION = ("/docs", "/docs/oauth2-redirect", "/openapi.json")


def without_documentation(app: FastAPI) -> None:
    """Take the pages that describe an application's routes out of it; flwr has no option.

    A path that is no route's is not there, either: it is not redirected to one that is like it,
    on the host that the request names.
    """
    app.router.redirect_slashes = False
    app.router.routes[:] = [
        each for each in app.router.routes if getattr(each, "path", None) not in _DOCUMENTATION
    ]


def limit_strangers(app: FastAPI, limits: Limits) -> None:
    """Let the requests to an application show a credential, then a body of bounded size.

    It is called when the application has all of its routes; middleware that is added later is
    around it.
    """
    bound = body_bounds(app, limits.message_bytes)
    app.add_middleware(BoundedBodies, limits=limits, bound=bound)
    app.add_middleware(Credentials, check=header_check(app))


def bounded(app: ASGIApp, api: FastAPI, limits: Limits) -> ASGIApp:
    """Return what `limit_strangers` makes, around what is around an application already.

    Parameters
    ----------
    app : ASGI application
        The application, or what is around it.
    api : FastAPI
        flwr's application, with all of its routes.
    limits : Limits
        The limits.
    """
    bounds = body_bounds(api, limits.message_bytes)
    return Credentials(BoundedBodies(app, limits, bounds), header_check(api))
