"""The guide to studies is run as it stands, in the directory of the commands' examples."""

import re
from pathlib import Path
from typing import Any

import pytest

from fedstate.inspection.export.formats import SUFFIXES
from tests.operators_directory import REASON, make
from tests.unit.optional import optional

GUIDE = Path(__file__).parents[2] / "docs" / "studies.md"


def test_every_block_of_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    optional("pandas")
    optional("matplotlib").use("Agg")
    from matplotlib import pyplot as plt

    monkeypatch.chdir(make(tmp_path / "here"))
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", GUIDE.read_text())
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/studies.md", "exec"), names)  # noqa: S102
    plt.close("all")
    shown = capsys.readouterr().out
    assert "4711082614935260417 running 8 1" in shown
    assert "dict 2 arrays, 330 numbers float32" in shown
    assert REASON in shown
    assert "[5, 7, 8] 0.25" in shown
    assert names["kernel"].shape == (32, 10)
    assert len(names["table"]) == 8 + 7 + 2 * 8
    assert (tmp_path / "here" / "study.png").read_bytes().startswith(b"\x89PNG")


def test_every_format_is_in_the_guide() -> None:
    rows = re.findall(r"(?m)^\| (`\..*?) \|", GUIDE.read_text())
    assert set(re.findall(r"`(.*?)`", " ".join(rows))) == set(SUFFIXES)
