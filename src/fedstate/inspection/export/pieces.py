"""What of a state goes into a file of arrays, and what does not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedstate.inspection.errors import InspectionError
from fedstate.inspection.leaves import leaves_of
from fedstate.inspection.value import Value
from fedstate.state.history import History


@dataclass
class Pieces:
    """Arrays by name.

    Attributes
    ----------
    arrays : dict
        The arrays. Those of a single value have their names in it, and those of several the name
        of the value before that.
    left_out : list of str
        The pieces that are no arrays.
    values : list of str
        The values that have arrays.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


def pieces_of(values: Sequence[Value], *, alone: bool) -> Pieces:
    """Return the arrays of values.

    Parameters
    ----------
    values : sequence of Value
        The values.
    alone : bool
        Whether it is a single value, whose name is not put before those of its arrays.

    Raises
    ------
    InspectionError
        There is none.
    StateDamagedError, StoreDamagedError
        A value is not what was stored; it is named.
    """
    pieces = Pieces()
    for value in values:
        for path, leaf in leaves_of(value).items():
            name = path if path and alone else "/".join(filter(None, (value.name, path)))
            if isinstance(leaf, History):
                rounds = [-1 if number is None else number for number in leaf.rounds]
                under = "" if alone and not path else f"{name}/"
                pieces.arrays[f"{under}round"] = np.array(rounds, np.int64)
                pieces.arrays[f"{under}value"] = leaf.values
            elif isinstance(leaf, np.ndarray) and not (
                leaf.dtype.hasobject or leaf.dtype.kind == "T"
            ):
                pieces.arrays[name] = leaf
            else:
                pieces.left_out.append(name)
                continue
            if value.name not in pieces.values:
                pieces.values.append(value.name)
    if not pieces.arrays:
        what = ", ".join(f"{value.name!r} ({value.type})" for value in values)
        raise InspectionError(
            f"There is no array in {what or 'a state without values'}; export it as JSON."
        )
    return pieces
