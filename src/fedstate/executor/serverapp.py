"""Preparing the process of one ServerApp task, which runs flwr's own program.

The program's own installation takes any directory that is there for whole: of two runs of one app
that start together, one now and then loaded what the other had half copied, and failed.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

from flwr.app import Message

from fedstate.executor import dependencies
from fedstate.executor.bare import Handover, is_bare
from fedstate.executor.imports import Recorder
from fedstate.executor.install import install
from fedstate.executor.loading import needs_bare, watching
from fedstate.flower import serverapp_program
from fedstate.flower.grid import BatchingGrid, TaskInputKept
from fedstate.grids.polling import PollingGrid


def prepare(handover: Handover) -> None:
    """Let flwr's ServerApp program in this process use our installation and our Grid.

    Parameters
    ----------
    handover
        The way into a bare interpreter, which the app may need; what the server has given out
        for the task, if this is one.
    """
    WaitingGrid.kept = TaskInputKept(handover.given)

    def go_bare(reason: str) -> NoReturn:
        handover.go_bare(WaitingGrid.kept.content or b"", reason, cold=is_bare())

    def install_or_go_bare(content: bytes) -> Path:
        directory = install(content)
        installs = handover.order.runtime_dependency_install
        if (reason := needs_bare(directory, installs=installs)) is not None:
            go_bare(reason)
        return directory

    def watch(directory: Path) -> AbstractContextManager[None]:
        return watching(Recorder(directory), go_bare)

    serverapp_program.rebind(
        install=install_or_go_bare,
        provide=_provide,
        watch=watch,
        grid=WaitingGrid,
    )


def _provide(directory: Path, run_id: int, launch_id: str) -> Path | None:
    if not dependencies.wanted(directory):
        return None
    return dependencies.provide(directory, run_id, launch_id)


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
