"""An answer with objects is read as protobuf reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.exchange.messages import PullObjectsResponse
from fedstate.exchange.pulled import PulledObject, pulled_objects
from fedstate.flower.messages import PullObjectResponse

OBJECTS = st.builds(
    PulledObject,
    object_found=st.booleans(),
    object_available=st.booleans(),
    object_content=st.binary(max_size=300),
)


def encoded(objects: list[PulledObject]) -> bytes:
    answer = PullObjectsResponse()
    for each in objects:
        answer.objects.add(
            object_found=each.object_found,
            object_available=each.object_available,
            object_content=each.object_content,
        )
    return bytes(answer.SerializeToString())


@given(st.lists(OBJECTS), st.integers(1, 400))
def test_every_answer_is_read_whole(objects: list[PulledObject], size: int) -> None:
    answer = encoded(objects)
    parts = (answer[at : at + size] for at in range(0, len(answer), size))
    assert pulled_objects(parts) == objects


def test_fields_of_a_later_release_are_passed_over() -> None:
    known = PulledObject(object_found=True, object_available=True, object_content=b"content")
    later = b"\x7a\x03new" + b"\x78\x05"
    one = PullObjectResponse(object_found=True, object_available=True, object_content=b"content")
    nested = one.SerializeToString() + later
    answer = b"\x0a" + bytes([len(nested)]) + nested + later
    assert pulled_objects([answer]) == [known]


@pytest.mark.parametrize("cut", [1, 5, 10])
def test_an_answer_that_ends_too_early_is_an_error(cut: int) -> None:
    whole = encoded([PulledObject(object_found=True, object_content=b"x" * 20)])
    with pytest.raises(ValueError, match=r"."):
        pulled_objects([whole[:-cut]])
