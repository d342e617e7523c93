"""Preparing the process of one ServerApp task, which runs flwr's own program.

The program's own installation takes any directory that is there for whole: of two runs of one app
that start together, one now and then loaded what the other had half copied, and failed. It also
reports nothing when the app ends the process: the run goes on until the task's token expires.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from flwr.app import Message

from fedstate.executor import dependencies
from fedstate.executor.bare import Handover, is_bare
from fedstate.executor.imports import Recorder
from fedstate.executor.install import install
from fedstate.executor.loading import needs_bare, watching
from fedstate.executor.names import no_hidden_names
from fedstate.executor.room import hint, make_way
from fedstate.flower import serverapp_program
from fedstate.flower.grid import BatchingGrid, TaskInputKept
from fedstate.forking import children
from fedstate.grids.polling import PollingGrid


class AppEndedError(Exception):
    """The ServerApp has ended itself; flwr's program reports it as any other exception."""


class LimitReachedError(Exception):
    """The ServerApp has raised what a limit of its run explains."""


def prepare(
    handover: Handover,
    pushed: Callable[[], bool] = lambda: False,
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Let flwr's ServerApp program in this process use our installation and our Grid.

    Parameters
    ----------
    handover
        The way into a bare interpreter, which the app may need; what the server has given out
        for the task, if this is one.
    pushed
        Whether the output of the task has been pushed: at a signal, flwr's program does so and
        then ends the process from within the app.
    over
        Whether the run has ended, so that nobody waits for the output, and that the app was
        stopped is no error.
    """
    WaitingGrid.kept = TaskInputKept(handover.given)
    WaitingGrid.authority_file = handover.order.root_certificates_path
    WaitingGrid.socket = handover.order.runtime_api_socket

    def go_bare(reason: str) -> NoReturn:
        handover.go_bare(WaitingGrid.kept.content or b"", reason, cold=is_bare())

    def install_or_go_bare(content: bytes) -> Path:
        directory = install(content, handover.order.fab_hash)
        installs = handover.order.runtime_dependency_install
        if (reason := needs_bare(directory, installs=installs)) is not None:
            go_bare(reason)
        return directory

    def watch(directory: Path) -> AbstractContextManager[None]:
        return watching(Recorder(directory), go_bare)

    def run(load_and_call: Callable[[], Any], directory: Path, reference: str) -> Any:
        try:
            with no_hidden_names(directory, reference):
                return children.call(load_and_call)
        except Exception as error:
            make_way(error)
            # flwr's program reports the words of the exception alone.
            if sentence := hint(error):
                raise LimitReachedError(f"{type(error).__name__}: {error}{sentence}") from error
            raise
        except BaseException as error:
            if pushed():
                raise
            if over():
                raise SystemExit from None
            raise AppEndedError(_words(error)) from error

    serverapp_program.rebind(
        install=install_or_go_bare,
        provide=_provide,
        watch=watch,
        grid=WaitingGrid,
        run=run,
    )
    os.register_at_fork(after_in_child=_print_as_before)


def _provide(directory: Path, run_id: int, launch_id: str) -> Path | None:
    if not dependencies.wanted(directory):
        return None
    return dependencies.provide(directory, run_id, launch_id)


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"The ServerApp has ended itself with sys.exit({error.code!r})."
    return f"The ServerApp has ended itself with {type(error).__name__}: {error}"


def _print_as_before() -> None:
    """Let a fork that the app makes print past flwr's log of the run, which has a lock."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, TextIOWrapper):
            vars(stream).pop("write", None)
            stream.reconfigure(line_buffering=True)  # as flwr's function, which flushes


class WaitingGrid(BatchingGrid):
    """The Grid that every ServerApp is given: it waits as `PollingGrid` does."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting = PollingGrid(self)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages, and return their replies as they came."""
        return self._waiting.send_and_receive(messages, timeout=timeout)
