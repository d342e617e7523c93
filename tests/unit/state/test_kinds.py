"""Values of every kind come back as the same type and value, at any depth, and stored equally."""

import datetime
import enum
import pathlib
import random
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.state import (
    StateTypeError,
    register,
    stored,
)
from fedstate.state.codecs import registry
from fedstate.state.codecs.tree import KINDS
from tests.unit.state.examples import examples
from tests.unit.state.steps import digest_of, stored_and_read
from tests.unit.state.values import canonical
from tests.unit.state.values import values as old_values


class Point(NamedTuple):
    x: Any
    y: Any = 0


Pair = namedtuple("Pair", "first second")  # noqa: PYI024


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    A = "a"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Frozen:
    word: Any


@dataclass(slots=True)
class Stats:
    best: Any
    counts: dict[str, int] = field(default_factory=dict)
    derived: int = field(init=False, default=3)


class Vocabulary:
    def __init__(self, words: list[Any]) -> None:
        self.words = words


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.codecs, "_codecs", dict(registry.codecs._codecs))
        patch.setattr(registry.codecs, "_tags", dict(registry.codecs._tags))
        stored("test.frozen")(Frozen)
        stored("test.kinds.stats")(Stats)
        register(
            Vocabulary,
            tag="test.kinds.vocabulary",
            encode=lambda value: value.words,
            decode=Vocabulary,
        )
        yield


def same(value: Any) -> Any:
    """Return a form that two values share exactly if they have the same types and content."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    match value:
        case np.ndarray():
            if value.dtype.hasobject:
                return name, str(value.dtype), value.shape, [same(i) for i in value.ravel()]
            return name, canonical(value)
        case np.generic():
            return name, canonical(value)
        case float():
            return name, np.float64(value).tobytes()
        case complex():
            return name, same(value.real), same(value.imag)
        case enum.Enum():
            return name, value.name
        case set() | frozenset():
            return name, sorted(repr(same(item)) for item in value)
        case OrderedDict():
            return name, [(same(key), same(item)) for key, item in value.items()]
        case dict():
            factory = getattr(value, "default_factory", None)
            items = [(same(key), same(item)) for key, item in value.items()]
            return name, factory, sorted(items, key=repr)
        case deque():
            return name, value.maxlen, [same(item) for item in value]
        case list() | tuple():
            return name, [same(item) for item in value]
        case SimpleNamespace() | Vocabulary() | Frozen():
            return name, same(vars(value))
        case Stats():
            return name, same([value.best, value.counts, value.derived])
        case datetime.datetime() | datetime.time():
            return name, value.isoformat(), value.fold, repr(value.tzinfo)
        case random.Random():
            return name, value.getstate()
        case np.random.Generator():
            return name, same(value.bit_generator.state)
        case np.random.RandomState():
            return name, same(value.get_state(legacy=False))
    return name, repr(value)


zones = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.sampled_from(["Europe/Berlin", "America/New_York"]).map(zoneinfo.ZoneInfo),
    st.integers(-1000, 1000).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m))),
    st.text(max_size=3).map(lambda t: datetime.timezone(datetime.timedelta(0), t)),
)
moments = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes(),
    zones,
    st.sampled_from([0, 1]),
)
times = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.times(),
    zones,
    st.sampled_from([0, 1]),
)
decimals = st.decimals().filter(lambda number: not number.is_snan())  # which has no hash
hashable = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.binary(max_size=4)),
        *(st.floats(), st.complex_numbers(), st.fractions(), decimals, moments, times),
        *(st.dates(), st.timedeltas(), zones, st.uuids()),
        st.builds(range, st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 3)),
        st.sampled_from([*Color, *Level, *Word, *Right, Right.READ | Right.WRITE]),
        st.text("ab./\\:", max_size=6).flatmap(
            lambda text: st.sampled_from(
                [pathlib.PurePosixPath(text), pathlib.PureWindowsPath(text), pathlib.Path(text)]
            )
        ),
        st.floats(width=32).map(np.float32),
        st.integers(-(2**40), 2**40).map(lambda n: np.datetime64(n, "ns")),
    ),
    lambda inner: st.one_of(
        st.frozensets(inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Point, inner, inner),
        st.builds(Frozen, inner),
    ),
    max_leaves=4,
)
generators = st.builds(
    lambda kind, seed, draws: [g := kind(seed), [g.normal() for _ in range(draws)]][0],
    st.sampled_from(
        [
            *(
                lambda seed, name=name: np.random.Generator(getattr(np.random, name)(seed))
                for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
            ),
            np.random.RandomState,
        ]
    ),
    st.integers(0, 99),
    st.integers(0, 3),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keyed = st.dictionaries(hashable, inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3),
        st.builds(deque, st.lists(inner, max_size=3), st.sampled_from([None, 2, 5])),
        keyed,
        keyed.map(OrderedDict),
        keyed.map(Counter),
        st.builds(defaultdict, st.sampled_from([None, list, int, Counter, Stats]), keyed),
        st.dictionaries(st.sampled_from("abc"), inner).map(lambda d: SimpleNamespace(**d)),
        st.builds(Point, inner, inner),
        st.builds(Pair, inner, inner),
        st.builds(Stats, inner, st.dictionaries(st.text(max_size=3), st.integers())),
        st.builds(Frozen, inner),
        st.lists(inner, max_size=2).map(Vocabulary),
        st.lists(inner, max_size=3).map(lambda items: np.array([*items, None], object)[:-1]),
    )


leaves = st.one_of(
    hashable,
    old_values,
    st.sets(hashable, max_size=4),
    st.binary(max_size=4).map(bytearray),
    st.builds(slice, st.integers(), st.none(), st.integers()),
    st.integers(0, 9).map(random.Random),
    generators,
)
everything = st.recursive(leaves, nested, max_leaves=5)


@settings(max_examples=examples(100, 300))
@given(everything)
def test_every_value_comes_back_the_same(value: Any) -> None:
    back = stored_and_read(value)
    assert same(back) == same(value)
    assert digest_of(back) == digest_of(value)


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return an equal value, with everything whose order is no content made in another order."""
    if type(value) in (set, frozenset):
        items = list(value)
        chance.shuffle(items)
        return type(value)(items)
    if type(value) in (dict, Counter, defaultdict):
        items = [(key, shuffled(item, chance)) for key, item in value.items()]
        chance.shuffle(items)
        made = dict(items)
        if type(value) is defaultdict:
            return defaultdict(value.default_factory, made)
        return type(value)(made)
    if type(value) is list:
        return [shuffled(item, chance) for item in value]
    return value


@settings(max_examples=examples(60, 150))
@given(everything, st.integers(0, 9))
def test_equal_values_are_stored_as_equal_bytes(value: Any, seed: int) -> None:
    other = shuffled(value, random.Random(seed))  # noqa: S311
    assert digest_of([other]) == digest_of([value])


@settings(max_examples=examples(60, 150))
@given(everything, everything)
def test_other_values_have_other_digests(one: Any, other: Any) -> None:
    assert (digest_of([one]) == digest_of([other])) is (same(one) == same(other))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (defaultdict(lambda: 3), r"calls <function .* for a missing key, which is code"),
        ([Vocabulary], "0 is a builtins.type"),
        (zoneinfo.ZoneInfo.from_file, "which no codec stores"),
        ({1: [OrderedDict, 2]}, "1/0 is a builtins.type"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(value: Any, sentence: str) -> None:
    with pytest.raises(StateTypeError, match=sentence):
        stored_and_read(value)


def test_every_kind_is_stored_by_a_test() -> None:
    """A kind that no test here or beside it in kinds/ stores must be added to one."""
    elsewhere = {
        *("tensor", "special tensor", "parameter", "uninitialized", "tensor subclass"),
        *("torch constant", "torch.device", "torch.Size", "torch.Generator", "keras.Variable"),
        *("tf.Variable", "tf.Tensor", "sklearn", "xgboost.Booster", "strings", "BitGenerator"),
        *("SeedSequence", *(kind.mark for kind in KINDS if kind.mark.startswith("pandas."))),
    }
    here = {
        *("registered", "namedtuple", "enum", "set", "frozenset", "deque", "OrderedDict"),
        *("Counter", "defaultdict", "SimpleNamespace", "complex", "bytearray", "range", "slice"),
        *("Decimal", "Fraction", "date", "datetime", "time", "timedelta", "timezone"),
        *("ZoneInfo", "UUID", "path", "random.Random", "objects", "array", "scalar"),
        *("Generator", "RandomState", "codec"),
    }
    assert {kind.mark for kind in KINDS} == here | elsewhere


def test_uuids_and_exact_numbers() -> None:
    for value in (uuid.UUID(int=5), Decimal("-0E+7"), Decimal("sNaN123"), Fraction(-3, 7)):
        assert repr(stored_and_read(value)) == repr(value)
