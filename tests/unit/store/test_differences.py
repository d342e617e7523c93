"""What differs between two pieces of content, and nothing else."""

import zlib
from contextlib import suppress
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.store import differences
from fedstate.store.differences import DifferenceError, apply, difference

MEBIBYTE = 1024 * 1024


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Content, and what edits anywhere have made of it."""
    base = draw(st.binary(max_size=3000)) * draw(st.sampled_from((1, 7)))
    wanted = bytearray(base)
    edits = st.tuples(st.integers(0, max(0, len(base) - 1)), st.binary(max_size=40))
    for start, edit in draw(st.lists(edits, max_size=10)):
        wanted[start : start + len(edit)] = edit[: len(wanted) - start]
    return base, bytes(wanted)


@given(pair=pairs())
def test_what_is_applied_to_one_makes_the_other(pair: tuple[bytes, bytes]) -> None:
    base, wanted = pair
    made = difference(wanted, base)
    assert made is not None
    content = bytearray(base)
    apply([made], content)
    assert bytes(content) == wanted


@pytest.mark.parametrize("start", [0, 1, 254, 255, 256, 2000, 3000 - 9])
@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("width", [1, 4])
def test_what_changed_in_one_place_is_put_there(start: int, count: int, width: int) -> None:
    base = np.zeros(3000, f"u{width}")
    wanted = base.copy()
    wanted[start : start + count] = np.arange(1, count + 1)
    made = difference(wanted.tobytes(), base.tobytes())
    assert made is not None
    content = bytearray(base.tobytes())
    apply([made], content)
    assert bytes(content) == wanted.tobytes()


@st.composite
def chains(draw: st.DrawFn) -> list[bytes]:
    """Contents that follow each other: few numbers are new in each, some of them again."""
    count = draw(st.integers(1, 2000))
    contents = [np.zeros(count, "<u8")]
    places = st.lists(st.integers(0, count - 1), max_size=6)
    for _ in range(draw(st.integers(1, 12))):
        wanted = contents[-1].copy()
        # In numbers of different widths, and now and then in one place.
        words = wanted.view(f"<u{draw(st.sampled_from((1, 4, 8)))}")
        words[draw(places)] += words.dtype.type(draw(st.integers(1, 255)))
        if draw(st.booleans()):
            start = draw(st.integers(0, count - 1))
            words[start : start + draw(st.integers(1, 300))] += 1
        contents.append(wanted)
    return [content.tobytes() for content in contents]


@given(contents=chains(), at_once=st.sampled_from((1, 5, 100, 20_000)))
def test_differences_that_follow_each_other_make_the_last_content(
    contents: list[bytes], at_once: int
) -> None:
    made = [difference(new, old) or b"" for old, new in pairwise(contents)]
    content = bytearray(contents[0])
    with patch.object(differences, "_PUT_AT_ONCE", at_once):
        apply(made, content)
    assert bytes(content) == contents[-1]


def test_content_of_another_length_has_no_difference() -> None:
    assert difference(b"1234", b"123") is None


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_numbers_that_change_take_a_byte_more_each(width: int) -> None:
    random = np.random.default_rng(width)
    base = random.integers(0, 255, MEBIBYTE, np.uint8).view(f"u{width}")
    places = random.choice(base.size, base.size // 100, replace=False)
    wanted = base.copy()
    # Some of their bytes stay as they were.
    wanted[places] += 1
    made = difference(wanted.tobytes(), base.tobytes())
    assert made is not None
    assert len(made) < len(places) * (width + 1.2)


def test_what_changes_in_one_place_takes_its_bytes() -> None:
    random = np.random.default_rng(0)
    base = random.bytes(MEBIBYTE)
    wanted = base[:100_000] + random.bytes(100_000) + base[200_000:]
    assert len(difference(wanted, base) or b"") < 100_500


@given(position=st.integers(0, 40), replacement=st.binary(max_size=4))
def test_a_difference_that_was_altered_is_refused_or_yields_something(
    position: int, replacement: bytes
) -> None:
    base = bytes(range(64)) * 10
    made = difference(b"x" * 30 + base[30:600] + b"y" * 40, base) or b""
    altered = made[:position] + replacement + made[position + 2 :]
    content = bytearray(base)
    with suppress(DifferenceError):
        apply([altered], content)
    assert len(content) == len(base)


def test_a_difference_that_would_unpack_to_more_than_there_is_is_refused() -> None:
    gaps = zlib.compress(b"\0" * 10_000_000)
    bomb = b"\x01\x01" + len(gaps).to_bytes(4, "little") + gaps
    with pytest.raises(DifferenceError):
        apply([bomb], bytearray(100))


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("width", [0, 3, 9, 255])
def test_numbers_of_a_width_that_there_is_not_are_refused(width: int, is_packed: bool) -> None:
    gaps = zlib.compress(b"\0") if is_packed else b"\0"
    damaged = bytes([width, is_packed]) + len(gaps).to_bytes(4, "little") + gaps + b"x" * width
    with pytest.raises(DifferenceError):
        apply([damaged], bytearray(720))
