"""Types of an app's own, versions, and migrations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import Context

from fedstate.state import StateDamagedError, StateTypeError, StateVersionError, register
from fedstate.state.codecs import registry
from tests.unit.state.steps import make_context, sent, step, stored_and_read, to_bytes


@dataclass
class Vocabulary:
    words: list[str]
    counts: np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.codecs, "_codecs", dict(registry.codecs._codecs))


def register_first() -> None:
    register(
        Vocabulary,
        tag="test.vocabulary",
        encode=lambda value: [value.words, value.counts],
        decode=lambda data: Vocabulary(data[0], data[1]),
    )


def register_third(migrations: dict[int, Any]) -> None:
    registry.codecs._codecs.pop("test.vocabulary", None)
    register(
        Vocabulary,
        tag="test.vocabulary",
        version=3,
        encode=lambda value: {"w": value.words, "c": value.counts},
        decode=lambda data: Vocabulary(data["w"], data["c"]),
        migrations=migrations,
    )


MIGRATIONS = {1: tuple, 2: lambda data: {"w": data[0], "c": data[1] * 10}}


@pytest.fixture
def context() -> Context:
    register_first()
    context = make_context()
    with step(context) as state:
        state["words"] = Vocabulary(["a", "b"], np.array([1, 2]))
    return sent(context)


def test_a_registered_type_comes_back() -> None:
    register_first()
    back = stored_and_read(Vocabulary(["a"], np.array([3])))
    assert isinstance(back, Vocabulary)
    assert (back.words, back.counts.tolist()) == (["a"], [3])


def test_it_may_be_changed_in_place(context: Context) -> None:
    with step(context) as state:
        state["words"].words.append("c")
    with step(sent(context)) as state:
        assert state["words"].words == ["a", "b", "c"]


def test_an_old_version_is_migrated_and_stored_anew(context: Context) -> None:
    register_third(MIGRATIONS)
    with step(context) as state:
        assert state["words"].counts.tolist() == [10, 20]
    assert '"version": 3' in str(context.state["fedstate.codecs"]["words"])
    with step(sent(context)) as state:
        assert state["words"].counts.tolist() == [10, 20], "migrated once"


def test_a_missing_migration_is_named(context: Context) -> None:
    register_third({1: MIGRATIONS[1]})
    before = to_bytes(context)
    with (
        pytest.raises(StateVersionError, match="no migration from version 2 to 3"),
        step(context) as state,
    ):
        state["words"]
    assert to_bytes(context) == before


def test_a_newer_version_is_named() -> None:
    register_third({})
    context = make_context()
    with step(context) as state:
        state["words"] = Vocabulary([], np.array([]))
    registry.codecs._codecs.pop("test.vocabulary")
    register_first()
    sentence = "'test.vocabulary' version 3, and this one reads up to 1"
    with pytest.raises(StateVersionError, match=sentence), step(context) as state:
        state["words"]


def test_an_unknown_tag_is_named(context: Context) -> None:
    registry.codecs._codecs.pop("test.vocabulary")
    sentence = "'words': it was stored by the codec 'test.vocabulary' version 1, which is not"
    with pytest.raises(StateVersionError, match=sentence), step(context) as state:
        state["words"]


def test_what_is_not_read_needs_no_codec(context: Context) -> None:
    """A step of an older app carries on what it does not understand."""
    registry.codecs._codecs.pop("test.vocabulary")
    with step(context) as state:
        state["other"] = 1
    register_first()
    with step(sent(context)) as state:
        assert state["words"].words == ["a", "b"]


def test_a_decoder_that_fails_is_damage_not_a_bug(context: Context) -> None:
    registry.codecs._codecs.pop("test.vocabulary")
    register(
        Vocabulary,
        tag="test.vocabulary",
        encode=lambda value: value.words,
        decode=lambda data: data["w"],
    )
    with (
        pytest.raises(StateDamagedError, match=r"'words': it was stored by .* cannot be read"),
        step(context) as state,
    ):
        state["words"]


def test_a_tag_is_taken_once() -> None:
    register_first()
    register_first()  # the Simulation Engine loads an app more than once into one process
    with pytest.raises(StateTypeError, match=r"tag 'test.vocabulary' is taken"):
        register(set, tag="test.vocabulary", encode=list, decode=set)
    with pytest.raises(StateTypeError, match="tag 'history' is taken"):
        register(set, tag="history", encode=list, decode=set)
    with pytest.raises(StateTypeError, match="version 0"):
        register(set, tag="test.set", encode=list, decode=set, version=0)
