"""Sizes as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.sizes import human_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (45_678, "45.7 kB"),
        (999_400, "999 kB"),
        (999_600, "1 MB"),
        (1_234_567_890, "1.23 GB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_a_size_has_three_digits(size: int | None, text: str) -> None:
    assert human_size(size) == text


@given(st.integers(0, 10**15))
def test_a_size_is_right_to_half_a_percent(size: int) -> None:
    number, unit = human_size(size).split()
    shown = float(number) * 1000 ** ("B", "kB", "MB", "GB", "TB").index(unit)
    assert math.isclose(shown, size, rel_tol=0.006)
