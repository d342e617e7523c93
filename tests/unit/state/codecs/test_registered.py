"""Types that an app registers with the decorator `stored`."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest

from fedstate.state import StateTypeError, StateVersionError, stored
from fedstate.state.codecs import registry
from tests.unit.state.steps import make_context, sent, step, stored_and_read


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.codecs, "_codecs", dict(registry.codecs._codecs))
    monkeypatch.setattr(registry.codecs, "_tags", dict(registry.codecs._tags))


def test_a_field_that_is_added_with_a_default_needs_nothing_more() -> None:
    @stored("test.kinds.growing")
    @dataclass
    class Growing:
        a: int

    context = make_context()
    with step(context) as state:
        state["one"], state["many"] = Growing(1), [Growing(2)]

    def redefine(**options: Any) -> Any:
        registry.codecs._codecs.pop("test.kinds.growing")

        @dataclass
        class Growing:
            a: int
            b: int = 7

        return stored("test.kinds.growing", **options)(Growing)

    kind = redefine()
    with step(sent(context)) as state:
        assert (state["one"], state["many"]) == (kind(1, 7), [kind(2, 7)])
    kind = redefine(version=2, migrations={1: lambda fields: {"a": fields["a"] * 10, "b": 1}})
    with step(sent(context)) as state:
        assert (state["one"], state["many"]) == (kind(10, 1), [kind(20, 1)])

    registry.codecs._codecs.pop("test.kinds.growing")

    @stored("test.kinds.growing")
    @dataclass
    class Other:
        c: int

    with (
        pytest.raises(StateVersionError, match="a field 'c' that was not stored"),
        step(sent(context)) as state,
    ):
        state["many"]


@pytest.mark.parametrize("kind", [int, dict, "text"])
def test_the_decorator_says_what_it_takes(kind: Any) -> None:
    with pytest.raises(StateTypeError, match="is no dataclass, enumeration or named tuple"):
        stored("test.kinds.wrong")(kind)


def test_a_dataclass_that_is_more_than_its_fields_is_refused() -> None:
    @dataclass
    class Table(dict):  # type: ignore[type-arg]
        a: int = 1

    with pytest.raises(StateTypeError, match="derives from dict, so it holds more than its"):
        stored("test.kinds.table")(Table)


def test_a_named_tuple_whose_fields_changed_asks_for_a_migration() -> None:
    class One(NamedTuple):
        a: int

    class Other(NamedTuple):
        a: int
        b: int = 2

    stored("test.tuple")(One)
    context = make_context()
    with step(context) as state:
        state["value"] = One(1)
    registry.codecs._codecs.pop("test.tuple")
    stored("test.tuple")(Other)
    sentence = "Other has the fields a, b, and stored are a; raise the version"
    with pytest.raises(StateVersionError, match=sentence), step(sent(context)) as state:
        state["value"]
    registry.codecs._codecs.pop("test.tuple")
    stored("test.tuple", version=2, migrations={1: lambda fields: {**fields, "b": 5}})(Other)
    with step(sent(context)) as state:
        assert state["value"] == Other(1, 5)


def test_a_field_that_is_gone_asks_for_a_migration() -> None:
    @dataclass(slots=True)
    class One:
        a: int
        b: int

    @dataclass(slots=True)
    class Other:
        a: int

    stored("test.slots")(One)
    context = make_context()
    with step(context) as state:
        state["value"] = One(1, 2)
    registry.codecs._codecs.pop("test.slots")
    stored("test.slots")(Other)
    with (
        pytest.raises(StateVersionError, match="has no field 'b' any more, which was stored"),
        step(sent(context)) as state,
    ):
        state["value"]


def test_nothing_of_the_class_is_called_when_it_is_read() -> None:
    @stored("test.calls")
    @dataclass(frozen=True)
    class Calls:
        a: int
        made: ClassVar[list[int]] = []

        def __post_init__(self) -> None:
            self.made.append(self.a)

    back = stored_and_read(Calls(1))
    assert (back, Calls.made) == (Calls(1), [1, 1])


def test_a_subclass_is_not_stored_as_its_base() -> None:
    @stored("test.base")
    @dataclass
    class Base:
        a: int

    @dataclass
    class Sub(Base):
        b: int = 2

    with pytest.raises(StateTypeError, match="Sub, a dataclass that is not registered"):
        stored_and_read(Sub(1))
