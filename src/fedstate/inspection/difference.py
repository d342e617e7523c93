"""What has changed between two states: values and layers, and by how much."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedstate.inspection.leaves import Leaf, leaves_of
from fedstate.inspection.norms import count_differing, distance, is_numeric, same_bytes
from fedstate.inspection.state import State
from fedstate.inspection.tables import Table
from fedstate.inspection.value import Value
from fedstate.state.history import History

CHANGED, ADDED, REMOVED = "changed", "added", "removed"
TYPE, SHAPE, DTYPE = "type", "shape", "dtype"
_SHOWN = 60


@dataclass(frozen=True)
class Change:
    """A piece of a value that is not the same in two states.

    Attributes
    ----------
    value : str
        The name of the value.
    part : str
        The layer or other piece of it; empty where the value is one piece.
    change : str
        ``changed``, ``added``, ``removed``, or of another ``type``, ``shape`` or ``dtype``.
    l2, relative, max_abs : float or None
        The L2 norm of the difference, the same relative to the norm of the first, and the largest
        difference of an element. Elements that are not a number are left out; see `nan_before`.
    nan_before, nan_after : int or None
        How many elements are not a number, in the first and in the second.
    detail : str
        What was and what is, in words.
    """

    value: str
    part: str
    change: str
    l2: float | None = None
    relative: float | None = None
    max_abs: float | None = None
    nan_before: int | None = None
    nan_after: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Difference:
    """What is not the same in two states.

    Attributes
    ----------
    changes : list of Change
        The pieces that differ, in the order of the states.
    equal : int
        How many pieces are equal.
    equal_values : list of str
        The values of which all pieces are equal.
    """

    changes: list[Change]
    equal: int
    equal_values: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """Return a row for each change."""
        return Table(list(Change.__dataclass_fields__), [vars(each) for each in self.changes])

    def frame(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each change."""
        return self.table().frame()


def compare(before: State, after: State, *, same_store: bool = False) -> Difference:
    """Return what is not the same in two states, of one run or of several.

    Parameters
    ----------
    before, after : State
        The states.
    same_store : bool
        Whether both are of one store: what both have in the same chunks is not read then.

    Raises
    ------
    StateDamagedError, StoreDamagedError
        A value is not what was stored; it is named.
    """
    changes: list[Change] = []
    equal, equal_values = 0, []
    names = dict.fromkeys([*before.values, *after.values])
    for name in names:
        if name not in after.values:
            changes.append(Change(name, "", REMOVED, detail=_described(before.values[name])))
            continue
        if name not in before.values:
            changes.append(Change(name, "", ADDED, detail=_described(after.values[name])))
            continue
        found, same = _compare_values(before.values[name], after.values[name], same_store)
        changes += found
        equal += same
        if not found:
            equal_values.append(name)
    return Difference(changes, equal, equal_values)


def _compare_values(one: Value, two: Value, same_store: bool) -> tuple[list[Change], int]:
    name = one.name
    # How many pieces there are in a structure is known only when it is read.
    if same_store and not one.is_structured and one.same_content(two):
        return [], 1 if one.is_history else len(one.arrays)
    if one.type != two.type:
        return [Change(name, "", TYPE, detail=f"{_described(one)}; now {_described(two)}")], 0
    before, after = leaves_of(one), leaves_of(two)
    changes, equal = [], 0
    for part in dict.fromkeys([*before, *after]):
        if part not in after:
            changes.append(Change(name, part, REMOVED, detail=_shown(before[part])))
        elif part not in before:
            changes.append(Change(name, part, ADDED, detail=_shown(after[part])))
        elif (change := _compare_leaves(name, part, before[part], after[part])) is not None:
            changes.append(change)
        else:
            equal += 1
    return changes, equal


def _compare_leaves(name: str, part: str, one: Leaf, two: Leaf) -> Change | None:
    if isinstance(one, History) and isinstance(two, History):
        return _compare_histories(name, part, one, two)
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return _compare_arrays(name, part, one, two)
    if type(one) is not type(two):
        return Change(name, part, TYPE, detail=f"{_shown(one)} -> {_shown(two)}")
    detail = f"{_shown(one)} -> {_shown(two)}"
    is_number = isinstance(one, int | float) and not isinstance(one, bool)
    if not is_number or not _fits(one, two):
        # What is not a number, in whatever it is, is not equal to itself.
        equal = one == two or repr(one) == repr(two)
        return None if equal else Change(name, part, CHANGED, detail=detail)
    gap = _compare_arrays(name, part, np.array([one]), np.array([two]))
    return None if gap is None else replace(gap, detail=detail)


def _compare_arrays(name: str, part: str, one: Any, two: Any) -> Change | None:
    if one.shape != two.shape:
        return Change(name, part, SHAPE, detail=f"{_size(one)} -> {_size(two)}")
    if one.dtype != two.dtype:
        return Change(name, part, DTYPE, detail=f"{one.dtype} -> {two.dtype}")
    if same_bytes(one, two):
        return None
    if not is_numeric(one):
        differing = count_differing(one, two)
        detail = f"{differing:,} of {one.size:,} elements differ"
        return Change(name, part, CHANGED, detail=detail)
    far = distance(one, two)
    detail = f"{far.differing:,} of {far.count:,} elements differ"
    if not far.differing:
        detail = "equal numbers, other bytes: signs of zeros, or another kind of NaN"
    if far.nan_before or far.nan_after:
        detail += f"; NaN: {far.nan_before:,} before, {far.nan_after:,} after"
    if not np.isfinite(far.l2):
        detail += "; the difference is infinite"
    return Change(
        *(name, part, CHANGED),
        l2=_finite(far.l2),
        relative=_finite(far.relative),
        max_abs=_finite(far.max_abs),
        nan_before=far.nan_before,
        nan_after=far.nan_after,
        detail=detail,
    )


def _compare_histories(name: str, part: str, one: History, two: History) -> Change | None:
    """Return how a history has grown, or where it is another one."""
    if one == two:
        return None
    start = max(one.dropped, two.dropped)
    before, after = one.values[start - one.dropped :], two.values[start - two.dropped :]
    shared = min(len(before), len(after))
    entries = f"{len(one):,} -> {len(two):,} entries"
    gap = _compare_arrays(name, part, before[:shared], after[:shared])
    if gap is None:
        text = f"{entries}; the {shared:,} that both have are equal"
        return Change(name, part, CHANGED, detail=text)
    return replace(gap, detail=f"{entries}; of both, {gap.detail}")


def _finite(number: float | None) -> float | None:
    return number if number is not None and np.isfinite(number) else None


def _fits(*numbers: Any) -> bool:
    return all(isinstance(each, float) or -(2**63) <= each < 2**63 for each in numbers)


def _described(value: Value) -> str:
    return " ".join(part for part in (value.type, value.shape_text) if part)


def _shown(leaf: Leaf) -> str:
    if isinstance(leaf, np.ndarray):
        return f"array {_size(leaf)} {leaf.dtype}"
    if isinstance(leaf, History):
        return f"history, {len(leaf):,} {'entry' if len(leaf) == 1 else 'entries'}"
    text = repr(leaf)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _size(array: Any) -> str:
    return " x ".join(map(str, array.shape)) or "one number"
