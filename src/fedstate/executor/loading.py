"""Loading the app of a task: installed, with its dependencies, in an environment as on stock."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from flwr.clientapp import ClientApp

from fedstate.executor import bare, dependencies, environment
from fedstate.executor.bare import Handover
from fedstate.executor.imports import Recorder, own_names
from fedstate.executor.install import install
from fedstate.executor.names import component_of, no_hidden_names
from fedstate.flower.apps import load_client_app
from fedstate.flower.task_client import TaskClient
from fedstate.forking import children

SendEvent = Callable[[Mapping[str, Any]], bool]


class Loading:
    """Loads the ClientApp of a task, and says what the room of its run may import for the next.

    Parameters
    ----------
    handover
        The way into a bare interpreter.
    client
        Has the app.
    send_event
        Sends the executor what the app has imported.
    """

    def __init__(self, handover: Handover, client: TaskClient, send_event: SendEvent) -> None:
        self._handover = handover
        self._client = client
        self._send_event = send_event
        self._installed: Path | None = None
        self._recorder: Recorder | None = None

    def load(self) -> ClientApp:
        """Return the app; this process may end here, and go on in a bare interpreter.

        Raises
        ------
        LoadClientAppError
            If there is no such ClientApp. Whatever the app raises while it is imported passes.
        OtherAppError
            If it is not the app that the task was ordered with.
        """
        app = self._client.pull_app()
        self._send_event({"event": "begun", "node": str(app.node_id)})
        directory = install(app.fab, self._handover.order.fab_hash)
        reason = needs_bare(directory, installs=self._handover.order.runtime_dependency_install)
        if reason is not None:
            self._go_bare(reason)
        if self._handover.order.runtime_dependency_install and dependencies.wanted(directory):
            token = self._handover.order.token
            self._installed = dependencies.provide(directory, app.run_id, token)
        self._recorder = Recorder(directory)
        with (
            watching(self._recorder, self._go_bare),
            no_hidden_names(directory, component_of(directory, "clientapp")),
        ):
            client_app = children.call(lambda: load_client_app(app))
        self._report()
        self._recorder.loaded()
        return client_app

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record what the app's functions import while the block runs."""
        recorder = self._recorder
        if recorder is None:
            raise RuntimeError("the app is not loaded")
        with (
            recorder.recording(),
            environment.noting(recorder.importing_others, recorder.changed),
        ):
            yield
        self._report()

    def _report(self) -> None:
        if self._recorder is not None and (report := self._recorder.report(self._installed)):
            self._send_event({"event": "imported", **report.to_json()})

    def _go_bare(self, reason: str) -> NoReturn:
        given = self._client.given
        if given is None:
            raise RuntimeError("the task's message is pulled already")
        self._handover.go_bare(given, reason, cold=bare.is_bare())


def needs_bare(directory: Path, *, installs: bool) -> str | None:
    """Return why an app cannot be loaded where modules are preloaded; None if it can.

    Parameters
    ----------
    directory
        The installed app.
    installs
        Whether its dependencies are to be installed.
    """
    if bare.is_bare():
        return None
    if installs and dependencies.wanted(directory):
        return "The app has dependencies of its own: nothing is preloaded for its tasks."
    if (setting := environment.too_late(directory)) is not None:
        return f"The app sets {setting}: nothing is preloaded for its tasks."
    if (name := environment.hidden_by_preloaded(own_names(directory))) is not None:
        return f"The app has a module '{name}' of its own: nothing is preloaded for its tasks."
    return None


@contextlib.contextmanager
def watching(recorder: Recorder, go_bare: Callable[[str], object]) -> Iterator[None]:
    """Watch what the app sets while the block loads it."""

    def conflict(name: str) -> None:
        go_bare(f"The app sets {name} while it is imported: nothing is preloaded for its tasks.")

    with (
        recorder.recording(),
        environment.watching(
            recorder.importing_others,
            recorder.changed,
            bare=bare.is_bare(),
            conflict=conflict,
        ),
    ):
        yield
