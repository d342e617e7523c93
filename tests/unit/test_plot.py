"""The plot of losses has a line for each run and node, and is a picture."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fedstate.errors import FedstateError
from fedstate.plot import plot_losses
from fedstate.verify.report import Report, RunResult
from fedstate.verify.told import Entry, Holding, ToldRun

NODES = ("11", "12", "13")


def told(run_id: str) -> ToldRun:
    holdings = [
        Holding(
            node,
            partition,
            "digest",
            # Of one that remembers more losses than it made steps in the run.
            {"loss": (4.0, 3.0, 2.0, 1.0)[: 4 if node == "11" else 3]},
            tuple(Entry(n, run_id, node, n, f"m{n}", "", "") for n in (1, 2, 3)),
        )
        for partition, node in enumerate(NODES)
    ]
    return ToldRun(run_id, "1.42.0", "processes", {}, (), tuple(holdings), {})


@pytest.fixture
def report() -> Report:
    runs = [RunResult(run_id, "", 3, [], told(str(run_id))) for run_id in (11, 12)]
    return Report([*runs, RunResult(13, "", 3, [], None)])


def test_a_line_for_each_run_and_node(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot as plt

    monkeypatch.setattr(plt, "close", lambda _: None)
    plot_losses(report, tmp_path / "loss.png")
    lines = plt.gcf().axes[0].get_lines()
    monkeypatch.undo()
    plt.close("all")
    assert len(lines) == 2 * len(NODES)
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines)
    assert all(np.array_equal(line.get_xdata(), [1, 2, 3]) for line in lines)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_no_figure_is_left_open(tmp_path: Path, report: Report) -> None:
    from matplotlib import pyplot as plt

    plot_losses(report, tmp_path / "loss.png")
    assert plt.get_fignums() == []


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FedstateError, match=r"pip install 'fedstate\[plot\]'"):
        plot_losses(report, tmp_path / "loss.png")
