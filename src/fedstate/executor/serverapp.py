"""Preparing the process of one ServerApp task, which runs flwr's own program.

The program's own installation takes any directory that is there for whole: of two runs of one app
that start together, one now and then loaded what the other had half copied, and failed.
"""

from collections.abc import Iterable
from typing import Any

from flwr.app import Message

from fedstate.executor.install import install
from fedstate.flower import serverapp_program
from fedstate.flower.grid import BatchingGrid
from fedstate.grids.polling import PollingGrid


def prepare() -> None:
    """Let flwr's ServerApp program in this process use our installation and our Grid."""
    serverapp_program.rebind(install=install, grid=WaitingGrid)


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
