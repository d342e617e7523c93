"""NumPy's arrays, scalars and random generators."""

from typing import Any

import numpy as np
from numpy.random import BitGenerator, Generator, RandomState, SeedSequence

from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, as_plain, only

_STRINGS = np.dtypes.StringDType


def is_array(value: object) -> bool:
    """Return whether `value` is an array whose elements have a fixed size."""
    return type(value) is np.ndarray and not value.dtype.hasobject and value.dtype.kind != "T"


def _is_object_array(value: object) -> bool:
    return type(value) is np.ndarray and value.dtype == np.dtype(object)


def _is_string_array(value: object) -> bool:
    return type(value) is np.ndarray and isinstance(value.dtype, _STRINGS)


def _object_node(value: Any, branch: Branch) -> list[Any]:
    return [list(value.shape), branch.node(value.reshape(-1).tolist())]


def _read_objects(content: Any, reader: Reader) -> Any:
    shape, items = content[0], only(reader.value(content[1]), list)
    array = np.empty(len(items), object)
    # One by one: NumPy would take a list of lists of equal lengths for a matrix.
    for index, item in enumerate(items):
        array[index] = item
    return array.reshape(shape)


def _string_node(value: Any, branch: Branch) -> list[Any]:
    dtype = value.dtype
    missing = [dtype.na_object] if hasattr(dtype, "na_object") else []
    items = value.reshape(-1).tolist()
    return [list(value.shape), dtype.coerce, branch.node(missing), branch.node(items)]


def _read_strings(content: Any, reader: Reader) -> Any:
    shape, coerce, missing, items = content
    values = only(reader.value(missing), list)
    options = {"na_object": values[0]} if values else {}
    dtype = _STRINGS(coerce=bool(coerce), **options)
    return np.array(only(reader.value(items), list), dtype).reshape(shape)


def _bit_generator_parts(value: Any) -> list[Any]:
    try:
        seeds = value.seed_seq
    except (AttributeError, ValueError):  # seeded in the way of RandomState
        seeds = None
    # One that has no seeds to spawn others from gets some that do not depend on chance.
    known = seeds if isinstance(seeds, SeedSequence) else SeedSequence(0)
    return [type(value).__name__, value.state, known]


def _bit_generator(parts: Any) -> BitGenerator:
    name, state, seeds = only(parts, list)
    kind = getattr(np.random, only(name, str), None)
    if not isinstance(kind, type) or not issubclass(kind, BitGenerator):
        raise StateDamagedError(f"a generator of random numbers is of the unknown kind {name!r}")
    generator = kind(seeds)
    generator.state = state
    return generator


def _is_bit_generator(value: object) -> bool:
    return isinstance(value, BitGenerator) and type(value).__module__.startswith("numpy.random")


def _generator_parts(value: Any, branch: Branch) -> Any:
    inner = value.bit_generator if type(value) is Generator else value._bit_generator  # noqa: SLF001
    if not _is_bit_generator(inner):
        raise StateTypeError(
            f"{branch.shown} draws from a {type(inner).__name__}, which is not one of NumPy's own"
        )
    parts = _bit_generator_parts(inner)
    if type(value) is RandomState:
        # Its state has half of a pair of normal numbers beside that of the bit generator.
        # It spawns no others, and the seeds that it has are not those that it was made with.
        parts[1:] = [value.get_state(legacy=False), SeedSequence(0)]
    return branch.node(parts)


def _read_random_state(content: Any, reader: Reader) -> RandomState:
    name, state, seeds = only(reader.value(content), list)
    kind = {k: v for k, v in only(state, dict).items() if k not in ("has_gauss", "gauss")}
    value = RandomState(_bit_generator([name, kind, seeds]))
    value.set_state(state)
    return value


def _seed_sequence(parts: Any) -> SeedSequence:
    entropy, spawn_key, pool_size, spawned = only(parts, list)
    return SeedSequence(
        entropy, spawn_key=spawn_key, pool_size=pool_size, n_children_spawned=spawned
    )


KINDS = (
    Kind("objects", (), _object_node, _read_objects, None, _is_object_array),
    Kind("strings", (), _string_node, _read_strings, None, _is_string_array),
    Kind(
        "array",
        (),
        lambda value, branch: branch.array(encode_array(value)),
        lambda content, reader: decode_array(reader.array(content)).copy(),
        (
            (
                "NumPy arrays and scalars of every dtype: structured, dates, text, longdouble, "
                "objects that can be stored, and those of ml_dtypes (bfloat16, float8, int4, …)"
            ),
            "the same, writable",
        ),
        # What else there is (structures of objects) is refused when it is encoded.
        lambda value: type(value) is np.ndarray,
        since=1,
    ),
    Kind(
        "scalar",
        (),
        lambda value, branch: branch.array(encode_array(np.asarray(value))),
        lambda content, reader: decode_array(reader.array(content)).copy()[()],
        None,
        lambda value: isinstance(value, np.generic),
        since=1,
    ),
    Kind(
        "Generator",
        (Generator,),
        _generator_parts,
        lambda content, reader: Generator(_bit_generator(reader.value(content))),
        (
            "`numpy.random.Generator` of every bit generator, `RandomState`, `SeedSequence`",
            "the same, at the same place in its sequence",
        ),
    ),
    Kind("RandomState", (RandomState,), _generator_parts, _read_random_state),
    Kind(
        "BitGenerator",
        (),
        lambda value, branch: branch.node(_bit_generator_parts(value)),
        lambda content, reader: _bit_generator(reader.value(content)),
        None,
        _is_bit_generator,
    ),
    as_plain(
        "SeedSequence",
        SeedSequence,
        lambda v: [v.entropy, v.spawn_key, v.pool_size, v.n_children_spawned],
        _seed_sequence,
    ),
)
