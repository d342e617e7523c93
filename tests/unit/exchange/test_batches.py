"""Batches hold what fits, whether the state can read many objects at once or not."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from flwr.supercore.error import FlowerError
from hypothesis import given
from hypothesis import strategies as st

from fedstate.exchange import batches
from fedstate.exchange.messages import PullObjectsRequest, PushObjectsRequest
from fedstate.objects.contents import Arrived, Content, in_memory

SESSION = "session"
BATCH_BYTES = 10_000


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_BYTES", BATCH_BYTES)
        yield


class Stored:
    """Objects of a run, one at a time; None stands for one that is registered and not there."""

    in_bulk = False

    def __init__(
        self, contents: Mapping[str, bytes | None], expected: Sequence[str] = ()
    ) -> None:
        self.contents = dict(contents)
        self.expected = set(expected)
        self.requested: list[str] = []
        self.sent: set[str] = set()

    def awaited(self, object_ids: Sequence[str]) -> set[str]:
        return self.sent & {*object_ids}

    def get(self, object_id: str) -> Content | None:
        self.requested.append(object_id)
        return (self.contents[object_id] or b"") if object_id in self.contents else None

    def put(self, session_id: str, object_id: str, content: bytes | Arrived) -> bool:
        if session_id != SESSION or object_id not in self.expected:
            return False
        self.contents[object_id] = in_memory(content)
        return True

    def get_many(self, object_ids: Sequence[str]) -> list[Content | None] | None:
        return [self.get(object_id) for object_id in object_ids] if self.in_bulk else None

    def put_many(
        self, session_id: str, contents: Mapping[str, bytes | Arrived]
    ) -> set[str] | None:
        if not self.in_bulk:
            return None
        return {key for key, content in contents.items() if self.put(session_id, key, content)}


class StoredInBulk(Stored):
    """The same, many at a time."""

    in_bulk = True


@pytest.fixture(params=[Stored, StoredInBulk])
def kind(request: pytest.FixtureRequest) -> type[Stored]:
    found: type[Stored] = request.param
    return found


def pull(objects: Stored, *object_ids: str) -> list[tuple[bool, bool, bytes]]:
    contents, _ = batches.wanted(PullObjectsRequest(object_ids=object_ids), objects)
    answer = batches.answer(contents)
    return [
        (each.object_found, each.object_available, each.object_content) for each in answer.objects
    ]


def test_an_object_is_there_or_on_its_way_or_unknown(kind: type[Stored]) -> None:
    objects = kind({"there": b"x", "on its way": None})
    assert pull(objects, "on its way", "there", "unknown", "there") == [
        (True, False, b""),
        (True, True, b"x"),
        (False, False, b""),
        (True, True, b"x"),
    ]


@pytest.mark.parametrize(
    ("contents", "sent", "to_come"),
    [
        ({"a": None, "b": None}, "ab", True),
        ({"a": None, "b": None}, "a", False),
        ({"a": None, "b": b"x"}, "ab", False),
        ({"a": None}, "ab", False),
        ({"a": b"x", "b": b"y"}, "", False),
    ],
    ids=["all", "one that nobody sends", "one is there", "one is unknown", "none"],
)
def test_it_is_waited_for_objects_of_which_all_are_being_sent(
    kind: type[Stored], contents: Mapping[str, bytes | None], sent: str, *, to_come: bool
) -> None:
    objects = kind(contents)
    objects.sent = set(sent)
    request = PullObjectsRequest(object_ids=["a", "b"])
    assert batches.wanted(request, objects)[1] is to_come


def test_an_object_that_comes_between_both_looks_is_found(kind: type[Stored]) -> None:
    class Coming(kind):  # type: ignore[misc, valid-type]
        def awaited(self, object_ids: Sequence[str]) -> set[str]:
            self.contents["b"] = b"x"
            return super().awaited(object_ids)  # type: ignore[no-any-return]

    objects = Coming({"a": None, "b": None})
    objects.sent = {"a"}
    request = PullObjectsRequest(object_ids=["a", "b"])
    assert batches.wanted(request, objects) == ([b"", b"x"], False)


def test_one_by_one_a_large_object_is_left_to_be_pulled_alone() -> None:
    objects = Stored({"large": bytes(BATCH_BYTES), "small": b"x"})
    assert pull(objects, "large", "small") == [(True, False, b""), (True, True, b"x")]


@given(st.lists(st.integers(0, BATCH_BYTES + 1), min_size=1, max_size=8))
def test_one_by_one_an_answer_has_the_first_objects_that_fit(sizes: list[int]) -> None:
    objects = Stored({str(n): bytes(size) for n, size in enumerate(sizes)})
    answer = pull(objects, *objects.contents)
    assert answer, "a client would ask for ever"
    carried = [0 if size >= BATCH_BYTES else size for size in sizes]
    assert [len(content) for _, _, content in answer] == carried[: len(answer)]
    assert sum(carried[: len(answer)]) <= BATCH_BYTES
    assert len(answer) == len(sizes) or sum(carried[: len(answer) + 1]) > BATCH_BYTES


def test_what_the_session_waits_for_is_stored(kind: type[Stored]) -> None:
    objects = kind({}, expected=["a", "c"])
    request = PushObjectsRequest(
        session_id=SESSION, object_ids=["a", "b", "c"], contents=[b"1", b"2", b"3"]
    )
    assert list(batches.push(request, objects).stored) == [True, False, True]
    assert objects.contents == {"a": b"1", "c": b"3"}


def test_of_another_session_nothing_is_stored(kind: type[Stored]) -> None:
    objects = kind({}, expected=["a"])
    request = PushObjectsRequest(session_id="other", object_ids=["a"], contents=[b"1"])
    assert list(batches.push(request, objects).stored) == [False]
    assert objects.contents == {}


@pytest.mark.parametrize("contents", [[], [b"1"], [b"1", b"2", b"3"]])
def test_a_request_with_too_many_or_too_few_contents_is_refused(
    kind: type[Stored], contents: list[bytes]
) -> None:
    objects = kind({}, expected=["a", "b"])
    request = PushObjectsRequest(session_id=SESSION, object_ids=["a", "b"], contents=contents)
    with pytest.raises(FlowerError, match=f"2 object IDs and {len(contents)} contents"):
        batches.push(request, objects)
    assert objects.contents == {}
