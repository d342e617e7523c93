"""Serving the Runtime API to executors and ClientApps."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedstate.errors import FederationError
from fedstate.exchange.presence import Presence
from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.programs import SHUTDOWN_SECONDS, logs_requests
from fedstate.flower.request_labels import LabelledRequests, label_messages
from fedstate.flower.runtime_app import runtime_app
from fedstate.flower.senseless import refuse_senseless
from fedstate.flower.strangers import bounded, without_documentation
from fedstate.flower.supernode_options import SuperNodeSettings
from fedstate.large.middleware import LargeContexts
from fedstate.serving.health import tell_problems
from fedstate.serving.limits import Limits
from fedstate.serving.protocol import bounded_serving
from fedstate.serving.server import Certificate, Listener, Server, SocketListener
from fedstate.supernode.runtime_handlers import StepHandlers
from fedstate.supernode.steps import Steps

_POLL_SECONDS = 0.1


@contextmanager
def runtime_api(
    settings: SuperNodeSettings,
    state: DurableNodeState,
    steps: Steps,
    limits: Limits | None = None,
    problems: Callable[[], list[str]] = list,
    socket: Path | None = None,
) -> Iterator[None]:
    """Serve the Runtime API while the block runs.

    Parameters
    ----------
    settings, state, steps, limits
        What it is about.
    problems : callable
        Returns what the node's health has to say; anybody may read it.
    socket
        The Unix socket on which it is served, too; None for none.

    Raises
    ------
    CertificateError
        The certificate cannot be used.
    FederationError
        The address or the socket cannot be listened on.
    """
    limits = limits or Limits()
    api = runtime_app(state, StepHandlers(steps), settings.executor_secret)
    without_documentation(api)
    refuse_senseless(api)
    tell_problems(api, problems)
    signals = Signals(closing=lambda: server.should_exit)

    def expire(task_ids: list[int]) -> None:
        if state.expire_tasks(task_ids):
            # One that had not begun can be acquired again.
            signals.tasks.notify()

    signals.presence = Presence(expire)
    ends = signals.tell_ends(state.ended_tasks, steps.runs.not_going)
    serve(api, signals, runtime_router)

    def on_end() -> None:
        ends.notify()
        # A task that was taken and not begun may be there to be taken again.
        signals.tasks.notify()

    signals.tells_all_tasks = True
    steps.on_task, steps.on_end = signals.tasks.notify, on_end
    files = (settings.certificate_file, settings.key_file, settings.authority_file)
    label_messages(api)
    listeners: list[Listener | SocketListener] = [
        Listener("SuperNode's API", settings.host, settings.port)
    ]
    if socket is not None:
        listeners.append(SocketListener("SuperNode's API", socket))
    server = Server(
        LabelledRequests(bounded(LargeContexts(api), api, limits)),
        listeners,
        certificate=Certificate(files[0], files[1], files[2]) if files[0] and files[1] else None,
        access_log=logs_requests(),
        **bounded_serving(limits),
    )
    server.on_exit.append(signals.wake)
    server.open()
    thread = threading.Thread(target=server.run, name="supernode-runtime-http-api")
    thread.start()
    while thread.is_alive() and not server.started:
        thread.join(_POLL_SECONDS)
    if not server.started:
        raise FederationError(
            "The SuperNode's API did not start, for the reason that its log gives above."
        )
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=SHUTDOWN_SECONDS)
        server.force_exit = True
