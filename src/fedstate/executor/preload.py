"""Which modules the executor's tasks find imported."""

import sys
from importlib.util import find_spec

from fedstate.errors import SettingError

AUTO = "auto"
NONE = "none"

# What runs a ClientApp and a ServerApp, and the packages of flwr's Message API; an app imports
# some of them, and the import of flwr alone takes longer than a short round.
_ALWAYS = (
    "numpy",
    "flwr.clientapp",
    "flwr.serverapp.strategy",
    "fedstate.executor.clientapp",
    "fedstate.executor.serverapp",
    "fedstate.executor.room",
)
_WHEN_INSTALLED = ("tensorflow", "keras")


def modules_of(setting: str) -> tuple[str, ...] | None:
    """Return what the setting ``--preload`` comes to; None when nothing is to be preloaded.

    Parameters
    ----------
    setting
        ``auto`` (TensorFlow and Keras where they are installed), ``none`` (no fork server: a
        new process for each task), or names of modules, separated by commas. What every task
        needs is there in any case.

    Raises
    ------
    SettingError
        If the setting names a module that is not installed.
    """
    if setting == NONE or not sys.platform.startswith("linux"):
        return None
    if setting == AUTO:
        return (*_ALWAYS, *(name for name in _WHEN_INSTALLED if find_spec(name) is not None))
    names = tuple(name.strip() for name in setting.split(",") if name.strip())
    for name in names:
        if find_spec(name.partition(".")[0]) is None:
            raise SettingError(
                f"--preload names the module '{name}', which is not installed here: "
                "install it, or leave it out."
            )
    return (*_ALWAYS, *names)
