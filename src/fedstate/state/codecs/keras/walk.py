"""Every part of a model that can save itself, each once, at any depth.

The walk is that of Keras's own saving library: layers first, then every attribute, with what is
in lists, tuples and dictionaries. It is written here with Keras's public names, since that of
Keras is private, and makes paths without the layers' names, which an author knows them by.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fedstate.state.codecs.keras.names import by_place, is_counted

# They are layers as a whole, or hold the layers a second time.
_DERIVED = {"_functional", "_operations", "operations", "inputs", "outputs", "layers"}

_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass(eq=False)
class Place:
    """A part of a model that can save itself: a layer, mostly.

    Attributes
    ----------
    saveable : Any
        The part.
    path : tuple[str, ...]
        Where it is: the names of the layers around it and its own, the same in any process.
    shown : tuple[str, ...]
        The same with the names that the layers have.
    seeds : dict[str, keras.random.SeedGenerator]
        Its generators of random numbers, by attribute.
    is_counted : bool
        Whether Keras made its name by counting.
    around : Place | None
        The part that this is in.
    loose : dict[str, keras.Variable]
        Variables in its attributes, by attribute.
    """

    saveable: Any
    path: tuple[str, ...]
    shown: tuple[str, ...]
    is_counted: bool
    around: "Place | None"
    seeds: dict[str, Any] = field(default_factory=dict)
    loose: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the path as text."""
        return "/".join(self.path)

    def is_within(self, places: "set[int]") -> bool:
        """Return whether this place, or one around it, is among those of these identities."""
        place: Place | None = self
        while place is not None:
            if id(place) in places:
                return True
            place = place.around
        return False


def walk(model: Any) -> list[Place]:
    """Return the places of a model or layer; itself first, what is inside after what it is in."""
    root = Place(model, (), (), False, None)
    places: list[Place] = []
    _visit(root, {id(model)}, places)
    return places


def _visit(place: Place, seen: set[int], places: list[Place]) -> None:
    places.append(place)
    found: list[tuple[str, Any]] = []
    for name, child in _children(place.saveable):
        for label, item in _flat(name, child, set()):
            if id(item) in seen:
                continue
            if isinstance(item, _keras().random.SeedGenerator):
                seen.add(id(item))
                place.seeds[label] = item
            elif isinstance(item, _keras().Variable):
                place.loose[label] = item
            elif _is_saveable(item):
                seen.add(id(item))
                found.append((label, item))
    layers = [item for _, item in found if _is_layer(item)]
    names = iter(by_place(layers, place.saveable))
    for label, item in found:
        is_layer = _is_layer(item)
        name = next(names) if is_layer else label
        inner = Place(
            item,
            (*place.path, name),
            (*place.shown, str(item.name) if is_layer else label),
            is_layer and is_counted(item, place.saveable),
            place,
        )
        _visit(inner, seen, places)


def _children(saveable: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that may hold what can be saved, by name."""
    model = _keras().Model
    is_graph = type(saveable).__name__ == "Functional" or isinstance(
        saveable, _keras().Sequential | _functional()
    )
    if is_graph:
        yield "layers", saveable.layers
    names = {*vars(saveable), *_class_attributes(saveable.__class__)} - _layer_attributes()
    # Private ones last, as Keras has it.
    for name in sorted(names, key=lambda name: (name.startswith("_"), name)):
        try:
            child = getattr(saveable, name)
        except Exception:  # noqa: S112  A property that does not apply; Keras passes over it, too.
            continue
        yield name, child
    if isinstance(saveable, model) and not is_graph:
        yield "layers", saveable.layers


def _flat(name: str, child: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield what is in containers within containers, labelled by its place in them."""
    if not isinstance(child, list | tuple | dict):
        if not isinstance(child, _PLAIN):
            yield name, child
        return
    if id(child) in seen:
        return
    seen.add(id(child))
    items = [child[key] for key in _in_order(child)] if isinstance(child, dict) else child
    for number, item in enumerate(items):
        yield from _flat(f"{name}.{number}", item, seen)


def _in_order(container: dict[Any, Any]) -> list[Any]:
    """Return keys in an order that does not depend on when they were put in."""
    keys = list(container)
    return sorted(keys) if all(isinstance(key, str) for key in keys) else keys


def _is_saveable(item: Any) -> bool:
    if not (hasattr(type(item), "save_own_variables") or hasattr(type(item), "_obj_type")):
        return False
    keras = _keras()
    return not isinstance(item, type | keras.Metric | keras.optimizers.Optimizer)


def _is_layer(item: Any) -> bool:
    return isinstance(item, _keras().Layer)


@cache
def _class_attributes(kind: type) -> frozenset[str]:
    """Return the attributes of a class that may hold a layer: properties, but no methods."""
    names = (name for name in dir(kind) if not name.startswith("__"))
    return frozenset(
        name for name in names if not callable(getattr(kind, name, None))
    ) | frozenset(name for name in vars(kind) if _is_saveable(getattr(kind, name, None)))


@cache
def _layer_attributes() -> frozenset[str]:
    return frozenset(dir(_keras().Layer())) | _DERIVED


@cache
def _functional() -> Any:
    return sys.modules["keras.src.models.functional"].Functional


def _keras() -> Any:
    return sys.modules["keras"]
