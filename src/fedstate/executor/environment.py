"""Whether what an app sets in its environment comes too late in this process.

A module that reads a variable when it is imported (Keras, its backend) has read it before the app
can set it, if it was imported before the app. Such a process is given up for a bare one
(`fedstate.executor.bare`), in which nothing is imported that flwr itself does not import.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from fedstate.executor.audit import listening
from fedstate.executor.import_report import Variable
from fedstate.executor.settings import settings_in
from fedstate.forking import preload

# What is read when it is needed, or by modules that no fork server imports unless they are named.
_HARMLESS = frozenset(
    {
        "TF_CPP_MIN_LOG_LEVEL",
        "TF_CPP_MAX_VLOG_LEVEL",
        "TF_CPP_VMODULE",
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "TF_DETERMINISTIC_OPS",
        "TF_CUDNN_DETERMINISTIC",
        "CUBLAS_WORKSPACE_CONFIG",
        "CUDA_DEVICE_ORDER",
        "CUDA_LAUNCH_BLOCKING",
        "CUDA_VISIBLE_DEVICES",
        "MPLBACKEND",
        "MPLCONFIGDIR",
        "PYTHONHASHSEED",
        "TOKENIZERS_PARALLELISM",
    }
)
_HARMLESS_BEGINNINGS = ("FLWR_", "HF_", "RAY_", "TRANSFORMERS_", "WANDB_")
_EVENTS = frozenset({"os.putenv", "os.unsetenv"})


class _Replayed:
    """With which variables the warm modules of this process were imported, if by a replay."""

    def __init__(self) -> None:
        self.any = False
        self.values: dict[str, set[str | None]] = {}
        self.later: set[str] = set()


_replayed = _Replayed()


def harmless(name: str) -> bool:
    """Return whether a variable may be set after TensorFlow and Keras were imported."""
    return name in _HARMLESS or name.startswith(_HARMLESS_BEGINNINGS)


def too_late(directory: Path) -> str | None:
    """Return which variable the app sets too late in a process with preloaded modules.

    Parameters
    ----------
    directory
        The app's directory, whose sources are looked at.

    Returns
    -------
    str or None
        The variable and the place, as a part of a sentence; None if there is none.
    """
    for setting in settings_in(directory):
        if setting.name is None:
            return str(setting)
        if harmless(setting.name):
            continue
        if not setting.known or not _as_it_is(setting.name, setting.value):
            return str(setting)
    return None


def hidden_by_preloaded(own: AbstractSet[str]) -> str | None:
    """Return the first of an app's own modules for which a preloaded one would be taken."""
    # These two are imported before any app, whatever is preloaded.
    return min((own & sys.modules.keys()) - {"fedstate", "flwr"}, default=None)


@contextlib.contextmanager
def noting(
    is_others: Callable[[], bool], changed: Callable[[str, str | None], None]
) -> Iterator[None]:
    """Hear of each variable that the app sets while the block runs, before it is set.

    Parameters
    ----------
    is_others
        Returns whether another module than one of the app's is being imported just now, which may
        set what it likes, as it did when a room imported it.
    changed
        Is called with each variable, and its value, which is None if it is unset.
    """

    def hear(event: str, arguments: Sequence[Any]) -> None:
        if not is_others():
            value = os.fsdecode(arguments[1]) if event == "os.putenv" else None
            changed(os.fsdecode(arguments[0]), value)

    with listening(_EVENTS, hear):
        yield


@contextlib.contextmanager
def watching(
    is_others: Callable[[], bool],
    changed: Callable[[str, str | None], None],
    *,
    bare: bool,
    conflict: Callable[[str], object],
) -> Iterator[None]:
    """Watch what is set while the block loads the app.

    Parameters
    ----------
    is_others, changed
        As for `noting`.
    bare
        Whether nothing was preloaded in this process.
    conflict
        Is called with a variable, as a part of a sentence, that was set too late, or to another
        value than when a room imported for the app. Before it is set: this process may end there.
    """
    missing = set(_replayed.values)

    def check(name: str, value: str | None) -> None:
        missing.discard(name)
        if not _fits(name, value, bare=bare):
            conflict(name)
        changed(name, value)

    with noting(is_others, check):
        yield
    for name in sorted(missing):
        conflict(name)


@contextlib.contextmanager
def replaying(variables: Sequence[Variable]) -> Iterator[Callable[[int], None]]:
    """Give a function that sets the variables of a position; they are as before afterwards."""
    before = {each.name: os.environ.get(each.name) for each in variables}
    _replayed.any = True

    def set_variables(position: int) -> None:
        for each in variables:
            if each.position == position:
                _replayed.values.setdefault(each.name, set()).add(each.value)
                _set(each.name, each.value)

    try:
        yield set_variables
    finally:
        _replayed.later |= before.keys()
        for name, value in before.items():
            _set(name, value)


def _fits(name: str, value: str | None, *, bare: bool) -> bool:
    """Return whether a variable may still get this value."""
    if name in _replayed.values:
        return value in _replayed.values[name]
    if name in _replayed.later:
        return True
    if _replayed.any:
        return False
    return bare or harmless(name) or _as_it_is(name, value)


def _as_it_is(name: str, value: str | None) -> bool:
    """Return whether a variable has had this value when the modules here were imported."""
    return value == os.environ.get(name, preload.assumed.get(name))


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
