"""The plot of losses has a line for each run and node, and is a picture."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fedstate.errors import FedstateError
from fedstate.plot import plot_losses
from fedstate.verify.report import COMPLETED, Report, verify
from tests.unit.verify.runs import NODES, kept, with_holding


@pytest.fixture
def report() -> Report:
    runs = [kept("11", seed=1), kept("12", seed=2)]
    # A node that remembers more losses than it made steps in the run.
    runs[1] = with_holding(runs[1], NODES[0], history=(4.0, 3.0, 2.0, 1.0))
    return verify(runs, {run.run_id: COMPLETED for run in runs})


def test_a_line_for_each_run_and_node(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot as plt

    monkeypatch.setattr(plt, "close", lambda _: None)
    plot_losses(report, tmp_path / "loss.png")
    lines = plt.gcf().axes[0].get_lines()
    monkeypatch.undo()
    plt.close("all")
    assert len(lines) == len(report.runs) * len(NODES)
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
