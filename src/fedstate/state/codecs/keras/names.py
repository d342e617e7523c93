"""Which names Keras made by counting, and which the user gave.

Keras counts the layers without a name through a whole process (``dense_7``), and keeps no record
of which names it made: a layer that the user called ``dense_1`` looks the same. Equal models must
have equal names here, and two layers that the user named must never be taken for one another.
So Keras's own base class is made to mark the names that it counts, from the moment that this
module is imported, whether before Keras or after it.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from weakref import WeakSet

_MODULE = "keras.src.ops.operation"
_NUMBER = re.compile(r"_(\d+)$")
_DIRECTION = re.compile(r"(forward|backward)_")

# The layers made since then.
_layers: "WeakSet[Any]" = WeakSet()
# How far Keras had counted each kind of layer before it was made to mark what it counts.
_counted_before: dict[str, int] = {}


class _Counted:
    """The layers with counted names, by the identity of the name.

    A layer cloned from one of them is given the very same string, which must stay a plain one:
    HDF5 takes no other.
    """

    def __init__(self) -> None:
        self._layers: dict[int, WeakSet[Any]] = {}
        self._limit = 1024

    def add(self, layer: Any) -> None:
        """Remember that the name of `layer` is a counted one."""
        if len(self._layers) > self._limit:  # names of layers that are gone
            self._layers = {key: layers for key, layers in self._layers.items() if layers}
            self._limit = 2 * len(self._layers) + 1024
        self._layers.setdefault(id(layer.name), WeakSet()).add(layer)

    def __contains__(self, name: object) -> bool:
        """Return whether a living layer has this very string as its counted name."""
        return any(layer.name is name for layer in self._layers.get(id(name), ()))


_counted = _Counted()


def is_counted(layer: Any, around: Any = None) -> bool:
    """Return whether Keras made the name of `layer`, which may be inside of another one."""
    if layer.name in _counted or id(layer) in _directions(around) or _is_feature(around):
        return True
    kind = kind_of(layer)
    name, number = split(str(layer.name))
    return name == kind and number < _counted_before.get(kind, 0)


def kind_of(layer: Any) -> str:
    """Return the name that Keras gives to the first layer of its class."""
    kind = snake_case(type(layer).__name__)
    found = _DIRECTION.match(str(layer.name))
    return f"{found[0]}{kind}" if found and split(str(layer.name))[0].endswith(kind) else kind


def _is_feature(layer: Any) -> bool:
    """Return whether what is inside of `layer` is named after a feature that Keras counted."""
    kind = type(layer)
    return kind.__module__.endswith("feature_space") and kind.__module__.startswith("keras.")


def _directions(layer: Any) -> set[int]:
    """Return the layers, by identity, that a `Bidirectional` named after the one it was given."""
    found = (getattr(layer, f"{direction}_layer", None) for direction in ("forward", "backward"))
    return {id(one) for one in found if one is not None}


def snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in names."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def split(name: str) -> tuple[str, int]:
    """Return a name without the number at its end, and the number, 0 where there is none."""
    found = _NUMBER.search(name)
    return (name[: found.start()], int(found[1])) if found else (name, 0)


def by_place(layers: Sequence[Any], around: Any = None) -> list[str]:
    """Return names for layers that stand side by side, the same in any process.

    Names that the user gave stay as they are. The others are numbered anew, by their place.
    """
    given = unique(str(layer.name) for layer in layers if not is_counted(layer, around))
    taken = set(given)
    numbers: dict[str, int] = {}
    names = []
    remaining = iter(given)
    for layer in layers:
        if not is_counted(layer, around):
            names.append(next(remaining))
            continue
        kind = kind_of(layer)
        number = numbers.setdefault(kind, 0)
        numbers[kind] += 1
        name = f"{kind}_{number}" if number else kind
        names.append(f"{name}#" if name in taken else name)
    return names


def unique(names: Iterable[str]) -> list[str]:
    """Return names in the same order; one that was there before gets a number to it."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        result.append(f"{name}#{count}" if count else name)
    return result


def paths_by_place(variables: Sequence[Any]) -> tuple[list[str], set[str]]:
    """Return paths of variables whose layers are not known, and which of the layers are counted.

    A part of a path is Keras's count if a living layer with that counted name has the variable.
    """
    parts = [str(variable.path).split("/") for variable in variables]
    wanted = {part for path in parts for part in path[:-1]}
    owners: dict[str, list[Any]] = {}
    living = list(_layers)
    directions = {i for layer in living for i in _directions(layer)}
    for layer in living:
        if layer.name in wanted and (is_counted(layer) or id(layer) in directions):
            owners.setdefault(str(layer.name), []).append(layer)
    owned = {
        name: {id(weight): layer for layer in layers for weight in layer.weights}
        for name, layers in owners.items()
    }
    numbers: dict[tuple[str, ...], dict[int, str]] = {}
    result, counted = [], set()
    for variable, path in zip(variables, parts, strict=True):
        anew: tuple[str, ...] = ()
        for part in path[:-1]:
            layer = owned.get(part, {}).get(id(variable))
            kind, number = split(part)
            name, is_counted_here = part, False
            if layer is not None or number < _counted_before.get(kind, 0):
                kind = kind_of(layer) if layer is not None else kind
                known = numbers.setdefault((*anew, kind), {})
                key = id(layer) if layer is not None else number
                name = known.setdefault(key, f"{kind}_{len(known)}" if known else kind)
                is_counted_here = True
            anew = (*anew, name)
            if is_counted_here:
                counted.add("/".join(anew))
        result.append("/".join((*anew, variable_name(path[-1]))))
    return result, counted


def variable_name(name: str) -> str:
    """Return the name of a variable without Keras's count of those that were given none."""
    return "variable" if split(name)[0] == "variable" else name


def _mark(operation: ModuleType) -> None:
    """Make Keras mark the names that it counts."""
    base = operation.Operation
    original: Callable[..., None] = base.__init__
    state = sys.modules.get("keras.src.backend.common.global_state")
    if state is not None:
        _counted_before.update(state.get_global_attribute("object_name_uids") or {})

    # The signature is Keras's, which looks at it to make configurations.
    @wraps(original)
    def init(self: Any, name: str | None = None) -> None:
        original(self, name=name)
        if hasattr(type(self), "add_weight"):
            _layers.add(self)
            if name is None or name in _counted:
                _counted.add(self)

    base.__init__ = init


class _Finder(MetaPathFinder):
    """Finds Keras's module as Python does, and marks it when it has been executed."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _mark(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


if _MODULE in sys.modules:
    _mark(sys.modules[_MODULE])
else:
    sys.meta_path.insert(0, _Finder())
