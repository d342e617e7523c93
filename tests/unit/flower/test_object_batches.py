"""Objects are pushed in batches, whatever becomes of one."""

from collections.abc import Iterator, Mapping

import pytest
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from fedstate.exchange.client import Pieces
from fedstate.exchange.messages import BATCH_BYTES
from fedstate.flower.object_batches import push_batches

HALF = bytes(BATCH_BYTES // 2)
OBJECTS = [("a", [HALF]), ("b", [b"head", b"body"]), ("c", [HALF]), ("large", [HALF, HALF])]


def test_all_but_the_large_ones_are_pushed_and_named() -> None:
    pushed: list[list[str]] = []

    def push(batch: Mapping[str, Pieces]) -> list[bool]:
        pushed.append(list(batch))
        return [True] * len(batch)

    assert push_batches(push, 7, "session", OBJECTS) == {"a", "b", "c"}
    assert pushed == [["a", "b"], ["c"]]


def test_an_object_is_made_when_its_turn_comes() -> None:
    made: list[str] = []

    def push(batch: Mapping[str, Pieces]) -> list[bool]:
        assert len(made) <= len(batch) + 1
        made.clear()
        return [True] * len(batch)

    def objects() -> Iterator[tuple[str, Pieces]]:
        for number in range(9):
            made.append(str(number))
            yield str(number), [HALF]

    assert len(push_batches(push, 7, "session", objects())) == 9


def test_one_that_is_not_stored_is_an_error_that_names_it() -> None:
    with pytest.raises(ObjectPushError, match="b"):
        push_batches(lambda _: [True, False], 7, "session", OBJECTS)


def test_a_server_without_batches_is_asked_once() -> None:
    asked: list[object] = []
    assert push_batches(asked.append, 7, "session", OBJECTS) == set()
    assert len(asked) == 1
