"""What `python -m bench` writes."""

import json
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench.row import Row

ROWS = [
    Row("a round", ours=1.0, peer=10.0, goal=0.2, unit="s"),
    Row("memory", ours=3.0, peer=2.0, goal=1.0, unit="MB"),
    Row("idle", ours=3.0, peer=2.0, goal=None, unit="%"),
]


def test_a_module_s_rows_are_in_table_report_and_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.rounds.rows", lambda: iter(ROWS))
    monkeypatch.setattr("sys.argv", ["bench", "rounds"])
    monkeypatch.setenv("COLUMNS", "120")
    assert bench.main() == 0
    report = json.loads((tmp_path / "out/bench/report.json").read_text())
    assert [(row["name"], row["ratio"]) for row in report] == [
        ("a round", 0.1),
        ("memory", 1.5),
        ("idle", 1.5),
    ]
    assert (tmp_path / "out/bench/ratios.png").stat().st_size > 1000
    table = capsys.readouterr().out
    assert "0.2 met" in table
    assert "1 missed" in table
