"""Flower's SuperLink with our routes, push notification, and a listener for each audience."""

from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI

from fedstate.errors import FederationError
from fedstate.exchange.routes import replies_router, runtime_router, serve
from fedstate.exchange.signals import Notifier, Signals
from fedstate.flower.own_routes import PUSHES, keep_objects_apart, stream_objects
from fedstate.flower.programs import logs_requests
from fedstate.flower.request_labels import label_requests
from fedstate.flower.senseless import refuse_senseless
from fedstate.flower.strangers import limit_strangers, without_documentation
from fedstate.flower.superlink_app import SuperLinkConfig, create_superlink
from fedstate.flower.superlink_ends import SuperLinkEnds
from fedstate.serving.limits import Limits
from fedstate.serving.protocol import bounded_serving
from fedstate.serving.server import Certificate, Server
from fedstate.superlink import fleet_routes
from fedstate.superlink.control_door import Door
from fedstate.superlink.database import lay_out
from fedstate.superlink.evidence_routes import serve_evidence
from fedstate.superlink.listeners import Addresses
from fedstate.superlink.log_requests import LogRequests
from fedstate.superlink.middleware import bypass_middleware
from fedstate.superlink.node_routes import serve_nodes
from fedstate.superlink.serverapp_routes import serve_serverapps
from fedstate.superlink.take_routes import serve_taking

# The requests with which a run may end, or a task.
_ENDING = (
    "/v1/control/stop-run",
    "/v1/control/archive-federation",
    "/v1/control/remove-account-from-federation",
    "/v1/runtime/push-task-output",
)
# A task whose token expires, half a minute after its last heartbeat, causes no request.
_AGAIN_SECONDS = 5.0


def run_superlink(
    config: SuperLinkConfig,
    addresses: Addresses | None = None,
    door: Door | None = None,
    *,
    limits: Limits | None = None,
    keep_log: int | None = None,
) -> None:
    """Run a SuperLink until SIGTERM or SIGINT.

    Parameters
    ----------
    config : SuperLinkConfig
        What flower-superlink's options say.
    addresses : Addresses, optional
        Where each API is; without it, everything is on the config's port.
    door : Door, optional
        Who may call the Control API; without it, anybody.
    limits : Limits, optional
        What is granted to whoever connects.
    keep_log : int, optional
        As for `create_superlink`.

    Raises
    ------
    FedstateError
        The database, a certificate or an address cannot be used.
    """
    addresses, limits = addresses or Addresses(), limits or Limits()
    if found := addresses.for_executors:
        # The executor that a SuperLink starts itself calls the Runtime API alone.
        config = replace(config, host=found[0], port=found[1])
    door = door or Door()
    app = make_app(config, door, keep_log, addresses.socket)
    server = make_server(app, config, addresses, limits)
    signals = Signals(closing=lambda: server.should_exit)
    server.on_exit.append(signals.wake)
    extend(app, signals, door, limits)
    server.run()
    if not server.started:
        raise FederationError("The SuperLink did not start, for the reason that it logged above.")


def make_server(
    app: FastAPI, config: SuperLinkConfig, addresses: Addresses, limits: Limits | None = None
) -> Server:
    """Return the server of a SuperLink's application; it is not started."""
    files = (config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certfile)
    return Server(
        app,
        addresses.listeners(config.host, config.port),
        certificate=Certificate(files[0], files[1], files[2]) if files[0] and files[1] else None,
        access_log=logs_requests(),
        **bounded_serving(limits or Limits()),
    )


def make_app(
    config: SuperLinkConfig,
    door: Door | None = None,
    keep_log: int | None = None,
    socket: Path | None = None,
) -> FastAPI:
    """Return flwr's SuperLink, on a database in our layout if the database is a new file."""
    lay_out(config.database)
    return create_superlink(config, door.accounts if door else None, keep_log, socket)


def extend(
    app: FastAPI, signals: Signals, door: Door | None = None, limits: Limits | None = None
) -> None:
    """Add our routes to flwr's SuperLink, and let those of its own that matter notify."""
    without_documentation(app)
    bypass_middleware(app)
    refuse_senseless(app)
    keep_objects_apart(app)
    serve(app, signals, fleet_routes.router, runtime_router, replies_router)
    serve_evidence(app, LogRequests(wake=signals.messages.notify))
    serve_nodes(app)
    serve_taking(app)
    serve_serverapps(app)
    asked = SuperLinkEnds(app.state.linkstate_factory)
    ends = signals.tell_ends(asked.tasks, asked.runs, again_seconds=_AGAIN_SECONDS)
    stream_objects(app)
    app.add_middleware(
        Notifier,
        notify={
            "/v1/runtime/push-messages": signals.messages.notify_soon,
            "/v1/fleet/push-messages": signals.replies.notify_soon,
            "/v1/control/start-run": signals.tasks.notify,
            "/v1/runtime/create-task": signals.tasks.notify,
            **dict.fromkeys(PUSHES, signals.objects.notify),
            **dict.fromkeys(_ENDING, ends.notify),
        },
    )
    limit_strangers(app, limits or Limits())
    (door or Door()).put_into(app)
    label_requests(app)
