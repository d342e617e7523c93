"""Flower's SuperLink with our routes, and with push notification."""

from fastapi import FastAPI

from fedstate.exchange.routes import replies_router, runtime_router, serve
from fedstate.exchange.signals import Notifier, Signals
from fedstate.flower.superlink_app import SuperLinkConfig, create_superlink, server_of
from fedstate.flower.superlink_ends import SuperLinkEnds
from fedstate.superlink import fleet_routes
from fedstate.superlink.database import lay_out
from fedstate.superlink.evidence_routes import serve_evidence
from fedstate.superlink.log_requests import LogRequests
from fedstate.superlink.middleware import bypass_middleware

# The requests with which a run may end, or a task.
_ENDING = (
    "/v1/control/stop-run",
    "/v1/control/archive-federation",
    "/v1/control/remove-account-from-federation",
    "/v1/runtime/push-task-output",
)
# A task whose token expires, half a minute after its last heartbeat, causes no request.
_AGAIN_SECONDS = 5.0


def run_superlink(config: SuperLinkConfig, keep_log: int | None = None) -> None:
    """Run a SuperLink until SIGTERM or SIGINT; `keep_log` as for `create_superlink`."""
    app = make_app(config, keep_log)
    server = server_of(app, config)
    extend(app, Signals(closing=lambda: server.should_exit))
    server.run()


def make_app(config: SuperLinkConfig, keep_log: int | None = None) -> FastAPI:
    """Return flwr's SuperLink, on a database in our layout if the database is a new file."""
    lay_out(config.database)
    return create_superlink(config, keep_log)


def extend(app: FastAPI, signals: Signals) -> None:
    """Add our routes to flwr's SuperLink, and let those of its own that matter notify."""
    bypass_middleware(app)
    serve(app, signals, fleet_routes.router, runtime_router, replies_router)
    serve_evidence(app, LogRequests(wake=signals.messages.notify))
    asked = SuperLinkEnds(app.state.linkstate_factory)
    ends = signals.tell_ends(asked.tasks, asked.runs, again_seconds=_AGAIN_SECONDS)
    app.add_middleware(
        Notifier,
        notify={
            "/v1/runtime/push-messages": signals.messages.notify_soon,
            "/v1/fleet/push-messages": signals.replies.notify_soon,
            "/v1/control/start-run": signals.tasks.notify,
            "/v1/runtime/create-task": signals.tasks.notify,
            **dict.fromkeys(_ENDING, ends.notify),
        },
    )
