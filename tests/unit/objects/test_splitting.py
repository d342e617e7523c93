"""A message that is taken apart while it arrives, whatever the parts in which it comes."""

import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from fedstate.exchange.messages import PushObjectsRequest
from fedstate.objects.splitting import Splitter

LARGE = 50
CONTENTS = PushObjectsRequest.DESCRIPTOR.fields_by_name["contents"].number
REQUESTS = st.builds(
    PushObjectsRequest,
    run_id=st.integers(0, 2**64 - 1),
    session_id=st.text(max_size=LARGE * 2),
    object_ids=st.lists(st.text(max_size=5), max_size=4),
    contents=st.lists(st.binary(max_size=3 * LARGE), max_size=5),
)


def split(message: bytes, cuts: list[int]) -> tuple[Splitter, list[bytes]]:
    """Feed a message in parts; return the large contents."""
    splitter, found = Splitter(CONTENTS, LARGE), list[tuple[int, bytearray]]()
    ends = sorted({min(cut, len(message)) for cut in cuts} | {len(message)})
    for begin, end in zip([0, *ends], ends, strict=False):
        for part in splitter.feed(message[begin:end]):
            if isinstance(part, int):
                found.append((part, bytearray()))
            else:
                found[-1][1].extend(part)
    assert all(size == len(content) for size, content in found)
    return splitter, [bytes(content) for _, content in found]


@given(REQUESTS, st.lists(st.integers(0, 700)))
def test_what_is_split_and_the_rest_are_the_message(
    request: PushObjectsRequest, cuts: list[int]
) -> None:
    splitter, large = split(request.SerializeToString(), cuts)
    rest = PushObjectsRequest.FromString(splitter.rest())
    assert [len(each) >= LARGE for each in request.contents] == [
        index in splitter.large for index in range(len(request.contents))
    ]
    for index, content in zip(splitter.large, large, strict=True):
        assert rest.contents[index] == b""
        rest.contents[index] = content
    assert rest == request


def is_message(data: bytes) -> bool:
    try:
        PushObjectsRequest.FromString(data)
    except DecodeError:
        return False
    return True


def test_a_message_that_ends_too_early_is_never_taken_for_a_whole_one() -> None:
    message = PushObjectsRequest(
        run_id=2**40, session_id="session", contents=[b"x" * 10, b"y" * 3 * LARGE, b"z" * LARGE]
    ).SerializeToString()
    for end in range(len(message)):
        splitter, _ = split_leniently(message[:end], [])
        assert is_message(splitter.rest()) == is_message(message[:end]), end


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_what_is_no_message_is_left_to_who_reads_the_rest(noise: bytes, cuts: list[int]) -> None:
    splitter, large = split_leniently(noise, cuts)
    assert large or is_message(splitter.rest()) == is_message(noise)


def split_leniently(message: bytes, cuts: list[int]) -> tuple[Splitter, list[int]]:
    splitter, sizes = Splitter(CONTENTS, LARGE), list[int]()
    ends = sorted({min(cut, len(message)) for cut in cuts} | {len(message)})
    for begin, end in zip([0, *ends], ends, strict=False):
        sizes += [part for part in splitter.feed(message[begin:end]) if isinstance(part, int)]
    return splitter, sizes


@pytest.mark.parametrize("head", [b"\xff" * 11, b"\x08" + b"\xff" * 11, b"\x0b", b"\x0f"])
def test_a_head_that_is_none_does_not_swallow_the_rest(head: bytes) -> None:
    splitter, large = split(head + b"more", [])
    assert not large
    assert splitter.rest().startswith(head + b"more")
