"""Which stored array belongs to which variable: by name first, and shapes after that."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedstate.state.errors import StateFitError

_COUNT = re.compile(r"(_\d+)?#?$")


@dataclass(frozen=True)
class Expected:
    """A variable that is to take a stored array.

    Attributes
    ----------
    name : str
        Its name, the same in any process.
    shown : str
        What it is called in an error.
    variable : Any
        The variable.
    """

    name: str
    shown: str
    variable: Any


def match(
    stored: Mapping[str, NDArray[Any]],
    expected: Sequence[Expected],
    counted: tuple[Collection[str], Collection[str]] = ((), ()),
    whole: str = "model",
    is_optimizer: bool = False,
) -> list[tuple[str, Expected]]:
    """Return each stored name with the variable that takes it.

    Parameters
    ----------
    stored : Mapping[str, NDArray]
        The arrays by name.
    expected : Sequence[Expected]
        The variables.
    counted : tuple[Collection[str], Collection[str]]
        The paths of layers whose names Keras counted, as stored and in the target.
    whole : str
        What the target is called in an error.
    is_optimizer : bool
        Whether the names are an optimizer's, in which the model's own name may be left out.

    Raises
    ------
    StateFitError
        If a name is missing or left over; or else if a shape or dtype is another one.
    """
    pairs = _by_name(stored, expected, counted)
    if pairs is None:
        pairs = _by_order(stored, expected, counted, is_optimizer)
    if pairs is None:
        raise _names_differ(stored, expected, whole)
    for name, one in pairs:
        _check(name, stored[name], one, whole)
    return pairs


def _by_name(
    stored: Mapping[str, NDArray[Any]],
    expected: Sequence[Expected],
    counted: tuple[Collection[str], Collection[str]],
) -> list[tuple[str, Expected]] | None:
    by_name = {one.name: one for one in expected}
    if by_name.keys() != stored.keys():
        return None
    if any(_marks(name, counted[0]) != _marks(name, counted[1]) for name in stored):
        return None
    return [(name, by_name[name]) for name in stored]


def _by_order(
    stored: Mapping[str, NDArray[Any]],
    expected: Sequence[Expected],
    counted: tuple[Collection[str], Collection[str]],
    is_optimizer: bool,
) -> list[tuple[str, Expected]] | None:
    """Match by place where names differ in nothing but Keras's count, of one side at least."""
    if len(stored) != len(expected):
        return None
    pairs = list(zip(stored, expected, strict=True))
    for name, one in pairs:
        ours, theirs = name.split("/"), one.name.split("/")
        if ours[-1] != theirs[-1] or (len(ours) != len(theirs) and not is_optimizer):
            return None
        if is_optimizer and (ours[0] != theirs[0] or abs(len(ours) - len(theirs)) > 1):
            return None
        mine, others = _marks(name, counted[0]), _marks(one.name, counted[1])
        # From the end: the model's own name may stand in one of them and not in the other.
        parts = zip(ours[-2::-1], theirs[-2::-1], mine[::-1], others[::-1], strict=False)
        for a, b, *either in list(parts)[: min(len(ours), len(theirs)) - 1 - is_optimizer]:
            # What the user named is compared as it is.
            if a != b and not (any(either) and _COUNT.sub("", a) == _COUNT.sub("", b)):
                return None
    return pairs


def _marks(name: str, counted: Collection[str]) -> list[bool]:
    """Return of each layer in a variable's name whether Keras counted its name."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) in counted for i in range(len(parts))]


def _names_differ(
    stored: Mapping[str, NDArray[Any]], expected: Sequence[Expected], whole: str
) -> StateFitError:
    names = {one.name for one in expected}
    surplus = [name for name in stored if name not in names]
    missing = [one for one in expected if one.name not in stored]
    numbers = f"(the {whole} has {len(expected)} variables, stored are {len(stored)})"
    if not surplus and not missing:
        return StateFitError(
            f"the layers of the {whole} have names that Keras counted where the user named those "
            "that were stored, or the other way round, and stand in another order; name them all"
        )
    if not missing:
        name = surplus[0]
        return StateFitError(
            f"{name!r} of shape {stored[name].shape} is stored, and the {whole} has no such "
            f"variable {numbers}"
        )
    if not surplus:
        one = missing[0]
        return StateFitError(
            f"{one.shown!r} of shape {tuple(one.variable.shape)} in the {whole} is not stored "
            f"{numbers}"
        )
    return StateFitError(
        f"{missing[0].shown!r} in the {whole} stands where {surplus[0]!r} is stored {numbers}"
    )


def _check(name: str, array: NDArray[Any], one: Expected, whole: str) -> None:
    shape, dtype = tuple(one.variable.shape), str(one.variable.dtype)
    if array.shape != shape:
        raise StateFitError(
            f"{one.shown!r} has shape {shape} in the {whole}, and {array.shape} "
            + ("as stored" if name == one.name else f"as stored ({name!r})")
        )
    if str(array.dtype) != dtype and array.dtype != _dtype(dtype):
        raise StateFitError(
            f"{one.shown!r} has dtype {dtype} in the {whole}, and {array.dtype} as stored"
        )


def _dtype(name: str) -> Any:
    try:
        return np.dtype(name)
    except TypeError:  # one of ml_dtypes'
        return None
