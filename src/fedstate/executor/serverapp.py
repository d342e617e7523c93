"""Preparing the process of one ServerApp task, which runs flwr's own program.

The program installs the app with `install_from_fab`, which takes any directory that is there for
whole: of two runs of one app that start together, one now and then loaded what the other had half
copied, and failed. And it makes the `HttpGrid` that the app is given. It finds both by their
global names, and has no other way to be told.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from flwr.app import Message

from fedstate.executor.install import install
from fedstate.flower.grid import BatchingGrid
from fedstate.grids.polling import PollingGrid


def program() -> ModuleType:
    """Return the module of flwr's program; its package hides it behind the function's name."""
    return import_module("flwr.superlink.runtime.run_serverapp")


def prepare() -> None:
    """Let flwr's ServerApp program in this process use our installation and our Grid."""
    module = program()
    module.install_from_fab = _install  # type: ignore[attr-defined]
    module.HttpGrid = WaitingGrid  # type: ignore[attr-defined]


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


def _install(content: bytes, *, skip_prompt: bool) -> Path:
    del skip_prompt  # there is nobody to ask
    return install(content)
