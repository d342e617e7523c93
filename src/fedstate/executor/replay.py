"""Importing, in the room of a run, what the run's first task has reported."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from fedstate.executor import dependencies, environment
from fedstate.executor.import_report import ImportReport
from fedstate.executor.started import Started, children, lasting

_MAX_REASON = 200


@dataclass(frozen=True)
class Replayed:
    """What came of importing what a report names.

    Attributes
    ----------
    left
        Modules that are not imported, or must not be, and why, as a sentence's end.
    fit
        Whether the process may still be forked. If not, another one has to take its place and
        import all but these modules.
    """

    left: tuple[tuple[str, str], ...]
    fit: bool


def replay(report: ImportReport) -> Replayed:
    """Import the modules of a report, each after what the app had set before it.

    The environment is as before then: an app sets its variables itself, in each task.
    """
    if report.installed is not None:
        dependencies.activate(Path(report.installed))
    left: list[tuple[str, str]] = []
    fit = True
    started, before = Started(), children()
    with environment.replaying(report.environment) as set_variables, _without(report.own):
        for position, (name, _) in enumerate(report.modules):
            set_variables(position)
            reason = _import(name)
            if (starts := started.look()) is not None:
                reason, fit = starts, False
            elif any(map(lasting, started.threads())):
                reason, fit = "starts a thread of Python", False
            elif children() > before:
                reason, fit = "starts a process", False
            if reason is not None:
                left.append((name, reason))
            if not fit:
                break
    # As for the fork server: what lives from now on is not looked at by the collector in a fork.
    gc.collect()
    gc.freeze()
    return Replayed(tuple(left), fit)


def _import(name: str) -> str | None:
    try:
        importlib.import_module(name)
    except (Exception, SystemExit, _OwnModule) as error:
        text = "".join(each if each.isprintable() else " " for each in str(error))
        return f"cannot be imported without the app ({text or type(error).__name__})"[
            :_MAX_REASON
        ]
    return None


class _OwnModule(BaseException):
    """A module would be imported for which the app has one of its own.

    Not an `Exception`: a module that may do without another must not take it for missing.
    """


class _Guard(MetaPathFinder):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Refuse the app's names; leave all others to the finders that follow."""
        if path is None and fullname in self._names:
            raise _OwnModule(f"it imports '{fullname}', of which the app has one of its own")
        return None


@contextlib.contextmanager
def _without(names: frozenset[str]) -> Iterator[None]:
    guard = _Guard(names)
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)
