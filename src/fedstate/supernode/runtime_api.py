"""Serving the Runtime API to executors and ClientApps."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging import DEBUG

import uvicorn

# flwr's application; its own function for starting it leaves no room for a layer around it.
from flwr.supercore.constant import HTTP_SERVER_SHUTDOWN_TIMEOUT
from flwr.supercore.logger import console_handler
from flwr.supernode.cli.flower_supernode import SuperNodeLifespanConfig
from flwr.supernode.main import create_app

from fedstate.errors import FederationError
from fedstate.exchange.presence import Presence
from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.flower.nodestate import DurableNodeState, DurableNodeStateFactory
from fedstate.large.middleware import LargeContexts
from fedstate.supernode.runtime_handlers import DurableHandlers
from fedstate.supernode.steps import Steps

_POLL_SECONDS = 0.1


@contextmanager
def runtime_api(
    config: SuperNodeLifespanConfig, state: DurableNodeState, steps: Steps
) -> Iterator[None]:
    """Serve the Runtime API while the block runs.

    Raises
    ------
    FederationError
        The address cannot be listened on.
    """
    api = create_app(
        state_factory=DurableNodeStateFactory(state),
        superexec_auth_secret=config.superexec_auth_secret,
    )
    api.state.runtime_handlers = DurableHandlers(steps)
    server = uvicorn.Server(
        uvicorn.Config(
            app=LargeContexts(api),
            host=config.host,
            port=config.port,
            access_log=console_handler.level <= DEBUG,
            ssl_certfile=config.runtime_ssl_certfile,
            ssl_keyfile=config.runtime_ssl_keyfile,
        )
    )
    signals = Signals(closing=lambda: server.should_exit)

    def give_up(task_ids: list[int]) -> None:
        state.expire_tasks(task_ids)
        # One that had not begun is to be had again.
        signals.tasks.notify()

    signals.presence = Presence(give_up)
    serve(api, signals, runtime_router)
    steps.on_task = signals.tasks.notify
    thread = threading.Thread(target=server.run, name="supernode-runtime-http-api")
    thread.start()
    while thread.is_alive() and not server.started:
        thread.join(_POLL_SECONDS)
    if not server.started:
        raise FederationError(
            f"The SuperNode cannot serve its API on {config.host}:{config.port}, for the reason "
            "above. Free the port, or give another one with --port."
        )
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=HTTP_SERVER_SHUTDOWN_TIMEOUT)
        server.force_exit = True
