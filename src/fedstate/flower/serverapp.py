"""Preparing the process of one ServerApp task, which runs flwr's own program.

flwr's program installs the app with `install_from_fab`, which takes any directory that is there
for whole: of two runs of one app that start together, one now and then loaded what the other had
half copied, and failed. The program calls the function by its global name and has no other way
to be told.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from fedstate.flower.fab import install


def program() -> ModuleType:
    """Return the module of flwr's program; its package hides it behind the function's name."""
    return import_module("flwr.superlink.runtime.run_serverapp")


def install_apps_whole() -> None:
    """Let flwr's ServerApp program in this process install apps as `fedstate.flower.fab` does."""
    program().install_from_fab = _install  # type: ignore[attr-defined]


def _install(content: bytes, *, skip_prompt: bool) -> Path:
    del skip_prompt  # there is nobody to ask
    return install(content)
