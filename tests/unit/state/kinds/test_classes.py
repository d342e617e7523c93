"""Classes of the app: what they were when they were stored, and what they are now."""

import enum
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from fedstate.state import StateTypeError, StateVersionError
from fedstate.state.codecs.tree import from_tree
from fedstate.state.kinds.classes import is_named_tuple, member, member_name
from tests.unit.state.steps import make_context, sent, step, stored_and_read


class Point(NamedTuple):
    x: Any
    y: Any = 0


def test_a_dataclass_without_the_decorator_is_told_of_it() -> None:
    @dataclass
    class Bare:
        a: int

    with pytest.raises(StateTypeError, match=r'put @fedstate.state.stored\("myapp.bare"\) above'):
        stored_and_read([Bare(1)])


def test_a_member_that_is_gone_is_named() -> None:
    context = make_context()
    kinds: list[Any] = [enum.Enum("Kind", names, module=__name__) for names in ("A B", "A")]
    globals()["Kind"] = kinds[0]
    with step(context) as state:
        state["kind"] = kinds[0]["B"]
    globals()["Kind"] = kinds[1]
    with (
        pytest.raises(StateVersionError, match=r"Kind.B, and the enumeration has only A"),
        step(sent(context)) as state,
    ):
        state["kind"]


def test_a_class_that_is_not_there_is_named_and_never_imported() -> None:
    import sys

    context = make_context()
    with step(context) as state:
        state["p"] = Point(1)
    with step(context) as state:
        record = context.state.config_records["p"]
        record["json"] = str(record["json"]).replace(__name__, "antigravity")
        state["x"] = 1  # the step takes the record as it was altered
    with (
        pytest.raises(StateTypeError, match="import the module 'antigravity' before reading"),
        step(sent(context)) as state,
    ):
        state["p"]
    assert "antigravity" not in sys.modules


def test_a_named_tuple_with_other_fields_than_now_is_named() -> None:
    content = [__name__, "Point", ["x"], [1]]
    with pytest.raises(
        StateVersionError, match=r"Point with the fields x, and the class now has x, y"
    ):
        from_tree(json.dumps({"@": "namedtuple", "of": content}), {})


def test_a_flag_is_stored_by_its_number_and_another_member_by_its_name() -> None:
    class Right(enum.Flag):
        READ = 1
        WRITE = 2

    class Color(enum.Enum):
        RED = 1
        CRIMSON = 1  # noqa: PIE796

    assert member_name(Right.READ | Right.WRITE) == 3
    assert member(Right, 3) == Right.READ | Right.WRITE
    assert member_name(Color.CRIMSON) == "RED"
    assert member(Color, "CRIMSON") is Color.RED
    with pytest.raises(
        StateVersionError, match=r"Color.BLUE, and the enumeration has only RED, C"
    ):
        member(Color, "BLUE")
    assert is_named_tuple(Point(1))
    assert not is_named_tuple((1, 2))
