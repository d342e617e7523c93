"""What a task has found while its app was imported, as it goes to the executor and to the room.

The task runs code of the app, so that whatever it says may be made up: it is read strictly.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

# Below this many seconds a second import by each message costs less than the trouble.
WORTH_SECONDS = 0.2

_MAX_MODULES = 512
_MAX_VARIABLES = 64
_MAX_NAME = 200
_MAX_TEXT = 4096
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_VARIABLE = re.compile(r"[^=\0]+")


@dataclass(frozen=True)
class Variable:
    """An environment variable that an app has set, or unset, while it was imported.

    Attributes
    ----------
    position
        How many of the report's modules had been imported before.
    name, value
        The variable; None for one that was unset.
    """

    position: int
    name: str
    value: str | None


@dataclass(frozen=True)
class ImportReport:
    """What the import of an app has brought into a process, beside the app itself.

    Attributes
    ----------
    modules
        Modules that every later task may find imported, in order, with the seconds they took.
    left
        Modules that each task has to import for itself, and why, as a sentence's end.
    environment
        What the app has set, in order.
    own
        The names under which the app has modules of its own.
    installed
        The app's environment with its pinned dependencies; None if it has none.
    """

    modules: tuple[tuple[str, float], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    environment: tuple[Variable, ...] = ()
    own: frozenset[str] = frozenset()
    installed: str | None = None

    @property
    def seconds(self) -> float:
        """What the modules took, in all."""
        return sum(seconds for _, seconds in self.modules)

    def without(self, names: Collection[str]) -> "ImportReport":
        """Return the report without these modules."""
        kept = [number for number, (name, _) in enumerate(self.modules) if name not in names]
        return replace(
            self,
            modules=tuple(self.modules[number] for number in kept),
            environment=tuple(
                replace(each, position=sum(number < each.position for number in kept))
                for each in self.environment
            ),
        )

    def merged(self, later: "ImportReport") -> "ImportReport":
        """Return this report with what a later one adds."""
        already = {name for name, _ in self.modules}
        added = later.without(already)
        return ImportReport(
            (self.modules + added.modules)[:_MAX_MODULES],
            (*self.left, *(each for each in later.left if each not in self.left))[:_MAX_MODULES],
            (
                *self.environment,
                *(
                    replace(each, position=each.position + len(self.modules))
                    for each in added.environment
                ),
            )[:_MAX_VARIABLES],
            self.own | later.own,
            later.installed or self.installed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "modules": [[name, round(seconds, 3)] for name, seconds in self.modules],
            "left": [list(each) for each in self.left],
            "environment": [[each.position, each.name, each.value] for each in self.environment],
            "own": sorted(self.own),
            "installed": self.installed,
        }

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "ImportReport":
        """Return the report that `to_json` has written; other keys are ignored.

        Raises
        ------
        ValueError
            If it is none, or larger than any honest one.
        """
        modules = [
            (_name(name), _seconds(seconds))
            for name, seconds in _rows(given.get("modules"), 2, _MAX_MODULES)
        ]
        environment = [
            Variable(_position(position, len(modules)), _variable(name), _value(value))
            for position, name, value in _rows(given.get("environment"), 3, _MAX_VARIABLES)
        ]
        left = [
            (_name(name), _reason(reason))
            for name, reason in _rows(given.get("left"), 2, _MAX_MODULES)
        ]
        own = given.get("own", [])
        if not isinstance(own, list) or len(own) > _MAX_MODULES:
            raise ValueError("a report of imports has no list of an app's own names")
        installed = given.get("installed")
        return ImportReport(
            tuple(modules),
            tuple(left),
            tuple(environment),
            frozenset(_name(each) for each in own),
            None if installed is None else _text(installed),
        )


def is_module_name(name: str) -> bool:
    """Return whether a module can have this name."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None


def _rows(given: Any, width: int, most: int) -> list[list[Any]]:
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > most:
        raise ValueError(f"a report of imports has no list, or one of more than {most}")
    if not all(isinstance(row, list) and len(row) == width for row in given):
        raise ValueError(f"a report of imports has rows that are not of {width} items")
    return given


def _name(given: Any) -> str:
    if not isinstance(given, str) or not is_module_name(given):
        raise ValueError(f"{str(given)[:_MAX_NAME]!r} is no name of a module")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str) or len(given) > _MAX_TEXT or "\0" in given:
        raise ValueError("a report of imports has a text that is none, or too long")
    return given


def _reason(given: Any) -> str:
    if len(_text(given)) > _MAX_NAME or not given.isprintable():
        raise ValueError("a report of imports has a reason that is none")
    return str(given)


def _variable(given: Any) -> str:
    if len(_text(given)) > _MAX_NAME or _VARIABLE.fullmatch(given) is None:
        raise ValueError("a report of imports has a variable without a name")
    return str(given)


def _value(given: Any) -> str | None:
    return None if given is None else _text(given)


def _seconds(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e6:
        raise ValueError("a report of imports has a time that is none")
    return float(given)


def _position(given: Any, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= most:
        raise ValueError("a report of imports has a position that is none")
    return given
