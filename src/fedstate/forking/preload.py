"""What a fork server imports before it forks, and the check that it still may."""

import importlib
import os
import sys
from collections.abc import Sequence

from fedstate.errors import SettingError

# With which variables modules were imported that are not set any longer: an app finds its
# environment as it would find it without this import.
assumed: dict[str, str] = {}


def load(names: Sequence[str]) -> None:
    """Import the modules.

    Raises
    ------
    SettingError
        If a module cannot be imported, or has started TensorFlow's runtime: its threads do not
        survive a fork, so that every fork would hang.
    """
    # Keras chooses its backend at import; an unset one reads a file in the user's home.
    if "tensorflow" in names and "KERAS_BACKEND" not in os.environ:
        assumed["KERAS_BACKEND"] = "tensorflow"
    os.environ.update(assumed)
    try:
        _load(names)
    finally:
        for name in assumed:
            os.environ.pop(name, None)


def _load(names: Sequence[str]) -> None:
    for name in names:
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
    # Not public, but the public calls that could tell start the runtime themselves. The module
    # may be asked about while it is being imported.
    current = getattr(context, "_context", None)
    return current is not None and current._context_handle is not None  # noqa: SLF001
