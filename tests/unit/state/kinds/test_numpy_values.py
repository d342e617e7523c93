"""Every dtype of NumPy and ml_dtypes comes back, and generators of random numbers go on."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.unit.state.steps import digest_of, stored_and_read
from tests.unit.state.values import canonical

NUMPY_LEFT_OUT = {"object_": "its elements are stored as values; see test_kinds.py"}


def numpy_types() -> dict[str, Any]:
    """Return every scalar type of NumPy that an array can have."""
    found = {kind.__name__: kind for kind in set(np.sctypeDict.values())}
    return dict(sorted(found.items()))


def extended_types() -> dict[str, Any]:
    """Return every dtype of ml_dtypes."""
    kinds = {n: k for n, k in vars(ml_dtypes).items() if isinstance(k, type)}
    return {n: k for n, k in sorted(kinds.items()) if issubclass(k, np.generic)}


def of_type(kind: Any, shape: tuple[int, ...]) -> Any:
    if kind in (np.str_, np.bytes_):
        return np.array(["a", "bcd", ""]).astype(np.dtype(kind).char + "3")
    if kind is np.void:
        return np.array([(1, 2.0)], [("a", "i1"), ("b", ">f8")])
    if kind in (np.datetime64, np.timedelta64):
        return np.array([1, "NaT"], np.dtype(kind).str + "[ms]")
    return np.arange(6).astype(np.float32).reshape(2, 3).astype(kind)[: shape[0]]


@pytest.mark.parametrize("name", [n for n in numpy_types() if n not in NUMPY_LEFT_OUT])
def test_every_numpy_dtype_comes_back_as_array_and_as_scalar(name: str) -> None:
    check_dtype(numpy_types()[name])


@pytest.mark.parametrize("name", extended_types())
def test_every_dtype_of_ml_dtypes_comes_back_as_array_and_as_scalar(name: str) -> None:
    check_dtype(extended_types()[name])


def check_dtype(kind: Any) -> None:
    for shape in [(2, 3), (0, 3)]:
        array = of_type(kind, shape)
        for back in (stored_and_read(array), stored_and_read({"a": [array]})["a"][0]):
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert canonical(back) == canonical(array)
            assert back.flags.writeable
    scalar = of_type(kind, (2, 3)).reshape(-1)[0]
    for back in (stored_and_read(scalar), *stored_and_read((scalar,))):
        # longlong is int64 by another name: NumPy's own format does not tell them apart.
        assert np.asarray(back).dtype == np.asarray(scalar).dtype
        assert canonical(back) == canonical(scalar)
    if kind is not np.void:  # it can be changed, and so has no hash
        assert digest_of({scalar: 1, 5.5: 2}) == digest_of({5.5: 2, scalar: 1})
        assert next(iter(stored_and_read({scalar}))).dtype == scalar.dtype


@pytest.mark.parametrize("options", [{}, {"na_object": None}, {"na_object": np.nan}])
def test_text_of_any_length_comes_back(options: Any) -> None:
    dtype = np.dtypes.StringDType(**options)
    items = ["a", "größer" * 9, "", *([options["na_object"]] if options else [])]
    back = stored_and_read({"t": np.array(items, dtype)})["t"]
    assert back.dtype == dtype
    assert repr(back.tolist()) == repr(items)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, "a"], [None, [2]]], object),
        np.array(3, object)[()],
        np.empty((0, 2), object),
    ],
)
def test_arrays_of_objects_come_back_with_their_elements(array: Any) -> None:
    back = stored_and_read(array)
    assert type(back) is type(array)
    assert np.shape(back) == np.shape(array)
    assert np.asarray(back, object).tolist() == np.asarray(array, object).tolist()


def test_seeds_and_generators_go_on_and_spawn_the_same() -> None:
    generator = np.random.default_rng(5)
    generator.spawn(2)
    generator.normal(size=3)
    back = stored_and_read([generator, generator.bit_generator, np.random.SeedSequence([1, 2])])
    assert back[1].state == generator.bit_generator.state
    assert back[0].normal() == generator.normal()
    assert back[0].spawn(1)[0].normal() == generator.spawn(1)[0].normal()
    assert (
        back[2].generate_state(3).tolist()
        == np.random.SeedSequence([1, 2]).generate_state(3).tolist()
    )
    legacy = np.random.RandomState(3)
    legacy.normal()
    assert digest_of(legacy) == digest_of(stored_and_read(legacy))
    assert digest_of(np.random.RandomState(3)) == digest_of(np.random.RandomState(3))
    assert stored_and_read(legacy).normal() == legacy.normal()
