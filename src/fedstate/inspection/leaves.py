"""A value in pieces that can be compared and written one by one: arrays and plain values."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fedstate.inspection.value import Value

Leaf = Any

# As many as a list has that is worth being compared as numbers and not one by one.
_NUMBERS = 2


def leaves_of(value: Value) -> dict[str, Leaf]:
    """Return the pieces of a value by their path in it; a value of one piece has the path ''.

    Raises
    ------
    StateDamagedError, StoreDamagedError
        It is not what was stored; the value is named.
    """
    if value.is_history:
        return {"": value.history()}
    if value.tag == "numpy.array":
        return {"": next(iter(value.load_arrays().values()))}
    stored = value.load_stored()
    if value.tag == "scalar":
        stored = stored["value"]
    return dict(_flat("", stored))


def _flat(path: str, value: Any) -> Iterator[tuple[str, Leaf]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(_under(path, str(key)), item)
    elif isinstance(value, list | tuple):
        if len(value) >= _NUMBERS and all(type(each) in (int, float) for each in value):
            yield path, _numbers(list(value))
            return
        for number, item in enumerate(value):
            yield from _flat(_under(path, str(number)), item)
    else:
        yield path, value


def _numbers(items: list[Any]) -> Any:
    # Integers beyond 64 bits have no dtype.
    try:
        array = np.array(items)
    except OverflowError:
        return items
    return array if array.dtype.kind in "iuf" else items


def _under(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
