"""Recording what an app imports, in its task, and importing it again, in the room of its run.

The code of the app runs in tasks only. What the app imports from elsewhere (PyTorch, pandas) the
room imports as well, so that every later task finds it imported. What starts a thread while it is
imported, a runtime, a process or a connection is left to each task: a fork would be without it,
or share it.
"""

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from fedstate.executor.audit import listening
from fedstate.executor.import_report import (
    WORTH_SECONDS,
    ImportReport,
    Variable,
    is_module_name,
)
from fedstate.executor.started import Started, children, lasting

_PROCESSES = frozenset({"os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"})
_TEMPORARY = frozenset({"tempfile.mkdtemp", "tempfile.mkstemp"})
_CONNECTION = frozenset({"socket.connect"})
_MAX_REASON = 200


# Every import of a module that is not there comes by its `_find_and_load`, whatever asks for
# it; a finder would hear of the beginning only.
_bootstrap: Any = import_module("importlib._bootstrap")


@dataclass
class _Window:
    """The import of one module, from its beginning to its end."""

    name: str
    began: float
    inner: "list[_Window]" = field(default_factory=list)
    seconds: float = 0.0
    # Whether a room may repeat it, and whether the module is the app's own; None while unknown.
    fit: bool = True
    own: bool | None = None
    processes: bool = False
    temporary: list[Path] = field(default_factory=list)


class Recorder:
    """Records the imports of this process's main thread, and what the app sets meanwhile.

    Parameters
    ----------
    directory
        The app's directory: a module in it is the app's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._origins = _Origins(directory)
        self._main = threading.get_ident()
        self._started = Started()
        self._children = children()
        self._stack: list[_Window] = []
        self._steps: list[_Window | tuple[str, str | None]] = []
        self._left: dict[str, str] = {}
        self._unfit: set[str] = set()
        # Threads that modules have started, with what was being imported then.
        self._threads: list[tuple[threading.Thread, list[_Window]]] = []
        self._loading = True
        self._ended = False

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the block runs; one recorder at a time in a process."""
        original = _bootstrap._find_and_load  # noqa: SLF001

        def find_and_load(name: str, import_: Any) -> ModuleType:
            if name in sys.modules or threading.get_ident() != self._main:
                module: ModuleType = original(name, import_)
                return module
            window = self._begin(name)
            try:
                module = original(name, import_)
            finally:
                self._end(window)
            return module

        _bootstrap._find_and_load = find_and_load  # noqa: SLF001
        try:
            with listening(_PROCESSES | _TEMPORARY | _CONNECTION, self._hear):
                yield
        finally:
            _bootstrap._find_and_load = original  # noqa: SLF001

    def loaded(self) -> None:
        """Take note that the app is loaded; what follows is imported by its functions.

        Their threads come and go, so that nothing is said of what starts one; and what is
        imported after they have set a variable may depend on the message.
        """
        self._loading = False

    def importing_others(self) -> bool:
        """Return whether a module that is not the app's own is being imported just now."""
        return threading.get_ident() == self._main and bool(self._others())

    def changed(self, name: str, value: str | None) -> None:
        """Take note of a variable that the app has set, or unset."""
        if self._loading:
            self._steps.append((name, value))
        else:
            self._ended = True

    def report(self, installed: Path | None = None) -> ImportReport | None:
        """Return what was recorded since the last report; None if it is not worth while.

        Parameters
        ----------
        installed
            The app's environment with its pinned dependencies.
        """
        modules: list[tuple[str, float]] = []
        environment: list[Variable] = []
        seconds = 0.0
        for step in self._steps:
            if isinstance(step, tuple):
                environment.append(Variable(len(modules), *step))
            else:
                seconds += step.seconds
                modules += [(each.name, each.seconds) for each in self._fit(step)]
        if seconds < WORTH_SECONDS:
            return None  # what is recorded next may make it worth while
        report = ImportReport(
            tuple(modules),
            tuple(self._left.items()),
            tuple(environment),
            own_names(self._directory),
            None if installed is None else str(installed),
        )
        self._steps, self._left = [], {}
        try:
            return ImportReport.from_json(report.to_json())
        except ValueError:  # more than anyone would take, and nothing is lost but time
            return None

    def _hear(self, event: str, arguments: Sequence[Any]) -> None:
        if not self._stack or threading.get_ident() != self._main:
            return
        if event in _TEMPORARY:
            self._stack[-1].temporary.append(Path(os.fsdecode(arguments[0])))
        elif event in _PROCESSES:
            self._stack[-1].processes = True
        else:
            self._spoil("opens a connection")

    def _begin(self, name: str) -> _Window:
        self._look()
        window = _Window(name, time.monotonic())
        if self._stack:
            self._stack[-1].inner.append(window)
        self._stack.append(window)
        return window

    def _end(self, window: _Window) -> None:
        self._look()
        if window.processes:
            before, self._children = self._children, children()
            if self._children > before:
                self._spoil("starts a process")
        if any(each.exists() for each in window.temporary):
            self._spoil("makes a temporary file")
        window.seconds = time.monotonic() - window.began
        self._learn(window)
        if window.name not in sys.modules:
            window.fit = False  # it could not be imported, which is what the app may expect
        if window.own:
            self._spoil("imports a module of the app")
        self._stack.pop()
        if not window.own:
            if not window.fit:
                self._unfit.add(window.name)
            if not self._others():
                self._judge_threads()
                if not self._ended:
                    self._steps.append(window)

    def _look(self) -> None:
        reason = self._started.look()
        if reason is not None:
            self._spoil(reason)
        for thread in self._started.threads():
            self._threads.append((thread, self._others()))

    def _judge_threads(self) -> None:
        """Leave to each task what has started a thread that has not ended with the import."""
        for thread, windows in self._threads:
            if windows and lasting(thread):
                self._spoil("starts a thread of Python", windows)
        self._threads.clear()

    def _spoil(self, reason: str, windows: list[_Window] | None = None) -> None:
        """Leave to each task what is being imported; the innermost module is to blame."""
        others = self._others() if windows is None else windows
        for window in others:
            window.fit = False
            self._unfit.add(window.name)
        if others and self._loading:
            self._left.setdefault(others[-1].name[:_MAX_REASON], reason)

    def _others(self) -> list[_Window]:
        """Return what is being imported and is not the app's own."""
        for window in self._stack:
            self._learn(window)
        return [window for window in self._stack if window.own is False]

    def _learn(self, window: _Window) -> None:
        if window.own is None and window.name in sys.modules:
            window.own = self._origins.own(sys.modules[window.name])

    def _fit(self, window: _Window) -> Iterator[_Window]:
        """Yield the outermost of this import and those in it that a room may repeat."""
        if window.fit:
            if is_module_name(window.name) and not _parents(window.name) & self._unfit:
                yield window
            return
        for inner in window.inner:
            if inner.own is False:
                yield from self._fit(inner)


class _Origins:
    """Tells an app's own modules from those that a room finds as well."""

    def __init__(self, directory: Path) -> None:
        self._directory = Path(os.path.realpath(directory))
        self._roots = [Path(os.path.realpath(each)) for each in sys.path if each]
        self._common = functools.cache(self._is_common)

    def own(self, module: ModuleType) -> bool:
        """Return whether a module is the app's own, or comes from where a room would not look."""
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.origin in ("built-in", "frozen"):
            return False
        places = [str(each) for each in spec.submodule_search_locations or ()]
        if spec.has_location and spec.origin:
            places.append(os.path.dirname(spec.origin))  # noqa: PTH120  text, for the cache
        return not all(map(self._common, places))

    def _is_common(self, place: str) -> bool:
        real = Path(os.path.realpath(place))
        if real.is_relative_to(self._directory):
            return False
        return any(real.is_relative_to(root) for root in self._roots)


def own_names(directory: Path) -> frozenset[str]:
    """Return the names under which an app has modules of its own at its top.

    A directory without an ``__init__.py`` is none: a package elsewhere comes before it.
    """
    names = {
        each.name.partition(".")[0]
        for each in directory.iterdir()
        if each.suffix in (".py", ".so") or (each / "__init__.py").is_file()
    }
    return frozenset(name for name in names if is_module_name(name))


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:number]) for number in range(1, len(parts))}
