"""Which modules the fork server imports before it forks, and the check that it still may."""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from fedstate.errors import SettingError

AUTO = "auto"
NONE = "none"

# flwr's programs for every kind of task, and the packages of its Message API; an app imports
# some of them, and the import of flwr alone takes longer than a short round.
_ALWAYS = (
    "numpy",
    "flwr.clientapp",
    "flwr.serverapp.strategy",
    "flwr.superlink.cli.flwr_serverapp",
    "fedstate.flower.clientapp",
)
_WHEN_INSTALLED = ("tensorflow", "keras")


def modules_of(setting: str) -> tuple[str, ...] | None:
    """Return what the setting ``--preload`` names; None when nothing is to be preloaded.

    Parameters
    ----------
    setting
        ``auto`` (TensorFlow and Keras where they are installed), ``none`` (no fork server: a
        new process for each task), or names of modules, separated by commas.

    Raises
    ------
    SettingError
        If the setting names a module that is not installed.
    """
    if setting == NONE or not sys.platform.startswith("linux"):
        return None
    if setting == AUTO:
        return tuple(name for name in _WHEN_INSTALLED if find_spec(name) is not None)
    names = tuple(name.strip() for name in setting.split(",") if name.strip())
    for name in names:
        if find_spec(name.partition(".")[0]) is None:
            raise SettingError(
                f"--preload names the module '{name}', which is not installed here: "
                "install it, or leave it out."
            )
    return names


def load(names: Sequence[str]) -> None:
    """Import the modules, and what every task needs.

    Raises
    ------
    SettingError
        If a module cannot be imported, or has started TensorFlow's runtime: its threads do not
        survive a fork, so that every task would hang.
    """
    # Keras chooses its backend at import; an unset one reads a file in the user's home.
    if "tensorflow" in names:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    for name in (*_ALWAYS, *names):
        try:
            importlib.import_module(name)
        except Exception as error:
            raise SettingError(
                f"The module '{name}' of --preload cannot be imported ({error}): repair it, "
                "or leave it out."
            ) from error
        if tensorflow_started():
            raise SettingError(
                f"The module '{name}' of --preload starts TensorFlow's runtime when it is "
                "imported, and a process in which it runs cannot be forked: leave it out."
            )


def tensorflow_started() -> bool:
    """Return whether TensorFlow's runtime, with its threads, is up in this process."""
    context = sys.modules.get("tensorflow.python.eager.context")
    if context is None:
        return False
    # Not public, but the public calls that could tell start the runtime themselves.
    current = context._context  # noqa: SLF001
    return current is not None and current._context_handle is not None  # noqa: SLF001
