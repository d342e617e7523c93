"""Histories as lines: of characters, and as a picture."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.inspection import InspectionError
from fedstate.inspection.drawing import in_picture, in_text, points_of
from fedstate.state.history import History
from tests.unit.state.examples import examples


def made(*values: float, rounds: list[int] | None = None) -> History:
    history = History()
    for place, value in enumerate(values):
        history.append(value, None if rounds is None else rounds[place])
    history.name = "loss"
    return history


def test_entries_stand_at_their_rounds_and_else_at_their_numbers() -> None:
    assert points_of(made(0.5, 0.25, rounds=[3, 7])) == ([3.0, 7.0], [0.5, 0.25])
    assert points_of(made(0.5, np.nan, 0.25)) == ([1.0, 3.0], [0.5, 0.25])


def test_a_line_that_rises_begins_below_and_ends_above() -> None:
    lines = in_text(made(*range(10)), width=20, height=5).splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("9 ┤")
    assert lines[4].startswith("0 ┤")
    assert lines[0].rstrip()[-1] != "┤"
    assert lines[4][3] != " "
    assert lines[0][3] == " "
    assert lines[-1].split() == ["1", "10"]


@pytest.mark.parametrize("history", [made(), made(np.nan, np.inf)])
def test_where_nothing_can_be_drawn_that_is_said(history: History) -> None:
    assert in_text(history) == "There is no finite value to plot."


@settings(max_examples=examples(50, 1000), deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=30), st.integers(1, 40), st.integers(1, 9))
def test_whatever_is_drawn_stays_in_its_frame(
    values: list[float], width: int, height: int
) -> None:
    text = in_text(made(*values), width=width, height=height)
    if np.isfinite(values).any():
        drawn = [line.split("┤")[1] for line in text.splitlines()[:height]]
        assert max(map(len, drawn)) <= width
        assert any(line.strip() for line in drawn)


def test_a_picture_has_a_line_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot as plt

    monkeypatch.setattr(plt, "close", lambda _: None)
    in_picture([made(1.0, 0.5), made(0.5, 0.25)], "Run 7", tmp_path / "loss.png")
    (axes,) = plt.gcf().axes
    monkeypatch.undo()
    plt.close("all")
    assert [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()] == [
        [1.0, 0.5],
        [0.5, 0.25],
    ]
    assert (axes.get_title(), axes.get_xlabel()) == ("Run 7", "entry")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InspectionError, match=r"pip install 'fedstate\[plot\]'"):
        in_picture([made(1.0)], "", tmp_path / "loss.png")
