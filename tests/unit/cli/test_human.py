"""Sizes, times and series as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.cli.human import (
    human_ago,
    human_reason,
    human_seconds,
    human_time,
    sparkline,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0124, "12 ms"),
        (3.2, "3.2 s"),
        (75, "1 min 15 s"),
        (120, "2 min"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
        (4 * 86_400, "4.0 days"),
    ],
)
def test_how_long_something_took(seconds: float | None, text: str) -> None:
    assert human_seconds(seconds) == text


def test_a_time_of_the_last_day_says_how_long_ago_it_is() -> None:
    now = 1_780_000_000.0
    assert human_ago(now - 90, now) == f"{human_time(now - 90)} (1 min 30 s ago)"
    assert human_ago(now - 90_000, now) == human_time(now - 90_000)
    assert human_ago(None, now) == human_time(None) == ""


def test_a_sparkline_goes_from_the_least_to_the_most() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, math.nan, 0.0, math.inf]) == "█!▁!"
    assert sparkline([2.0, 2.0]) == "▅▅"
    assert sparkline([]) == ""


@given(st.lists(st.floats(), max_size=60), st.integers(1, 30))
def test_a_sparkline_has_a_bar_for_each_of_the_last_values(
    values: list[float], width: int
) -> None:
    shown = sparkline(values, width)
    assert len(shown) == min(len(values), width)
    finite = [v for v in values[-width:] if math.isfinite(v)]
    if len(set(finite)) > 1:
        assert {"▁", "█"} <= set(shown)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("<class 'ValueError'>:<'No\nloss.'>", "ValueError: No\nloss."),
        ("<class 'app.task.f.<locals>.Bad'>:<'it'>", "Bad: it"),
        (f"{ValueError!r}:<'spoiled'>", "ValueError: spoiled"),
        ("refused", "refused"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_reason_is_shown_as_a_traceback_ends(reason: str | None, text: str) -> None:
    assert human_reason(reason) == text
