"""Running flwr's SuperLink with our routes."""

import uvicorn
from fastapi import FastAPI

# What `flower-superlink` itself is made of.
from flwr.supercore.http_logging import get_uvicorn_log_config
from flwr.supercore.logger import console_handler
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app

from fedstate.exchange.routes import replies_router, runtime_router, serve
from fedstate.exchange.signals import Notifier, Signals
from fedstate.flower.bulk_state import use_bulk
from fedstate.superlink import fleet_routes
from fedstate.superlink.database import lay_out
from fedstate.superlink.middleware import pass_by


def run_superlink(config: SuperLinkLifespanConfig) -> None:
    """Run a SuperLink until SIGTERM or SIGINT."""
    app = make_app(config)
    server = uvicorn.Server(
        uvicorn.Config(
            app=app,
            host=config.host,
            port=config.port,
            log_config=get_uvicorn_log_config(console_handler.level),
            ssl_keyfile=config.ssl_keyfile,
            ssl_certfile=config.ssl_certfile,
            workers=1,
        )
    )
    extend(app, Signals(closing=lambda: server.should_exit))
    server.run()


def make_app(config: SuperLinkLifespanConfig) -> FastAPI:
    """Return flwr's SuperLink, on a state of ours if its database is a file."""
    lay_out(config.database)
    app = create_app(config, SuperLinkLifespan)
    use_bulk(app.state.linkstate_factory)
    return app


def extend(app: FastAPI, signals: Signals) -> None:
    """Add our routes to flwr's SuperLink, and signals to those of its own that cause them."""
    pass_by(app)
    serve(app, signals, fleet_routes.router, runtime_router, replies_router)
    app.add_middleware(
        Notifier,
        notify={
            "/v1/runtime/push-messages": signals.messages.notify_soon,
            "/v1/fleet/push-messages": signals.replies.notify_soon,
            "/v1/control/start-run": signals.tasks.notify,
            "/v1/runtime/create-task": signals.tasks.notify,
        },
    )
