"""How far two arrays are apart: norms of their difference, with what is not a number counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Elements at once: their difference in double precision is in memory beside the arrays.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Distance:
    """How far an array is from another one.

    Attributes
    ----------
    l2 : float
        The L2 norm of the difference, without the elements that are not a number in either.
    relative : float or None
        The same, divided by the norm of the first array; None where that is 0.
    max_abs : float
        The largest absolute difference of an element.
    differing : int
        How many elements differ.
    count : int
        How many there are.
    nan_before, nan_after : int
        How many are not a number in the first, and in the second.
    """

    l2: float
    relative: float | None
    max_abs: float
    differing: int
    count: int
    nan_before: int
    nan_after: int


def is_numeric(array: NDArray[Any]) -> bool:
    """Return whether there are differences between elements: numbers, also those of ml_dtypes."""
    if array.dtype.kind in "biufc":
        return True
    if array.dtype.kind != "V" or array.dtype.names is not None:
        return False
    try:
        array.reshape(-1)[:1].astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def distance(before: NDArray[Any], after: NDArray[Any]) -> Distance:
    """Return how far apart two arrays of the same shape and dtype are.

    Elements that are not a number in both are equal, and so are equal infinities.
    """
    squares = own_squares = largest = 0.0
    differing = nan_before = nan_after = 0
    for one, two in _blocks(before, after):
        is_nan_one, is_nan_two = np.isnan(one), np.isnan(two)
        nan_before += int(np.count_nonzero(is_nan_one))
        nan_after += int(np.count_nonzero(is_nan_two))
        is_equal = (one == two) | (is_nan_one & is_nan_two)
        differing += int(np.count_nonzero(~is_equal))
        comparable = ~(is_equal | is_nan_one | is_nan_two)
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.abs(two[comparable] - one[comparable])
            size = np.abs(one[~is_nan_one])
            squares += float(np.sum(gap * gap))
            own_squares += float(np.sum(size * size))
        largest = max(largest, float(np.max(gap, initial=0.0)))
    l2, own = float(np.sqrt(squares)), float(np.sqrt(own_squares))
    relative = l2 / own if own and np.isfinite(own) else None
    return Distance(l2, relative, largest, differing, before.size, nan_before, nan_after)


def count_differing(before: NDArray[Any], after: NDArray[Any]) -> int:
    """Return how many elements differ, of arrays of the same shape and dtype that are no numbers.

    Elements are compared by their bytes: a text or a structure is equal to itself alone.
    """
    rows_before, rows_after = (_bytes(each).reshape(before.size, -1) for each in (before, after))
    return int(np.count_nonzero(np.any(rows_before != rows_after, axis=1)))


def same_bytes(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Return whether two arrays of the same shape and dtype are equal to the bit."""
    return np.array_equal(_bytes(before), _bytes(after))


def _bytes(array: NDArray[Any]) -> NDArray[Any]:
    flat = np.ascontiguousarray(array).reshape(-1)
    # Of no elements, or of elements without bytes, there is no view as bytes.
    return flat.view(np.uint8) if flat.nbytes else np.empty(0, np.uint8)


def _blocks(
    before: NDArray[Any], after: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    flat_before, flat_after = before.reshape(-1), after.reshape(-1)
    for start in range(0, before.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        yield _wide(flat_before[block]), _wide(flat_after[block])


def _wide(block: NDArray[Any]) -> NDArray[Any]:
    if block.dtype.kind == "c":
        return block.astype(np.clongdouble)
    # A 64-bit integer has no exact double.
    is_wide = block.dtype.kind in "iu" and block.dtype.itemsize >= 8
    return block.astype(np.longdouble if is_wide else np.float64)
