"""Models and optimizers as fedstate 0.1.0 stored them: weights alone, by their order.

Their names were Keras's, numbered anew. They are still read, into a model as into a part of one.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from numpy.typing import NDArray

from fedstate.state.codecs.keras.match import Expected, match
from fedstate.state.codecs.keras.names import snake_case, unique
from fedstate.state.errors import StateDamagedError, StateFitError


def match_weights(
    stored: Mapping[str, NDArray[Any]], model: Any, place: Mapping[str, Any], part: Any
) -> dict[int, NDArray[Any]]:
    """Return arrays by the identity of the variable that takes them.

    Parameters
    ----------
    stored : Mapping[str, NDArray]
        The arrays by name.
    model : Any
        The model.
    place : Mapping[str, Any]
        Where they were in the model, if they are a part of one.
    part : set[int] | None
        The variables that take them, by identity; None for those of the same place.

    Raises
    ------
    StateFitError
        If they do not fit.
    """
    shown = _shown_paths(model)
    names = unique(_renumbered(shown.values(), model))
    weights = {id(weight): weight for weight in model.weights}
    expected = [
        Expected(name, shown[i], weights[i]) for name, i in zip(names, shown, strict=True)
    ]
    if part is not None:
        expected = [one for one in expected if id(one.variable) in part]
    elif place:
        total, positions = _place(place)
        if len(expected) != total:
            raise part_of_another(total, model.name, len(expected))
        expected = [expected[position] for position in positions]
    return _in_order(stored, expected, "model")


def match_optimizer(
    stored: Mapping[str, NDArray[Any]], variables: Sequence[Any]
) -> dict[int, NDArray[Any]]:
    """Return arrays by the identity of the optimizer's variable that takes them.

    Raises
    ------
    StateFitError
        If they do not fit.
    """
    paths = [re.sub(r"_\d+(?=[/_]|$)", "", str(v.path)) for v in variables]
    expected = [
        Expected(name, str(variable.path), variable)
        for name, variable in zip(unique(paths), variables, strict=True)
    ]
    return _in_order(stored, expected, "optimizer")


def part_of_another(total: int, name: str, count: int) -> StateFitError:
    """Return the error that a part of one model is loaded into another one."""
    return StateFitError(
        f"it is part of a model with {total} variables, {name!r} has {count}; say which of its "
        "layers it belongs to, with into=weights_of(model, layers)"
    )


def _in_order(
    stored: Mapping[str, NDArray[Any]], expected: list[Expected], whole: str
) -> dict[int, NDArray[Any]]:
    pairs = match(stored, expected, whole=whole)
    if [one for _, one in pairs] != expected:
        wrong = next(pair for pair, one in zip(pairs, expected, strict=True) if pair[1] != one)
        raise StateFitError(f"{wrong[1].shown!r} stands elsewhere in the {whole} than as stored")
    return {id(one.variable): stored[name] for name, one in pairs}


def _shown_paths(model: Any) -> dict[int, str]:
    """Return, by the identity of each weight, its layer and name as a summary shows them."""
    layers = getattr(model, "layers", [])
    owners = {id(weight): layer.name for layer in layers for weight in layer.weights}
    paths = {}
    for variable in model.weights:
        layer = owners.get(id(variable), model.name)
        _, found, inner = f"/{variable.path}".partition(f"/{layer}/")
        paths[id(variable)] = f"{layer}/{inner if found else variable.name}"
    return paths


def _renumbered(paths: Iterable[str], model: Any) -> Iterator[str]:
    """Yield paths as they are in a process that has made no other model."""
    layers = getattr(model, "layers", [])
    kinds = {snake_case(type(layer).__name__) for layer in layers} | _own_kinds()
    numbers: dict[tuple[str, ...], dict[str, int]] = {}
    for path in paths:
        parts: tuple[str, ...] = ()
        for part in path.split("/"):
            kind = re.sub(r"_\d+$", "", part)
            name = part
            if kind in kinds:
                known = numbers.setdefault((*parts, kind), {})
                number = known.setdefault(part, len(known))
                name = f"{kind}_{number}" if number else kind
            parts = (*parts, name)
        yield "/".join(parts)


@cache
def _own_kinds() -> frozenset[str]:
    layers = sys.modules["keras"].layers
    names = (name for name, value in vars(layers).items() if isinstance(value, type))
    return frozenset(map(snake_case, [*names, "Sequential", "Functional"]))


def _place(meta: Mapping[str, Any]) -> tuple[int, list[int]]:
    total, positions = meta.get("total"), meta.get("positions")
    if (
        type(total) is not int
        or type(positions) is not list
        or not all(type(i) is int and 0 <= i < total for i in positions)
    ):
        raise StateDamagedError(f"its place in the model cannot be read ({meta})")
    return total, positions
