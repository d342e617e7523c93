"""The report as data and as a table: what is shown, and what it is counted as."""

import io
import json

import pytest
from rich.console import Console

from fedstate.verify import table
from fedstate.verify.evidence import AWAY, NodeAnswer
from fedstate.verify.report import Report
from fedstate.verify.table import to_table
from tests.unit.verify.made import NODES, ROUNDS, RUNS, World, digest, fresh


def tampered() -> World:
    world = fresh()
    world.nodes[NODES[0]].states[RUNS[0]] = digest("something else")
    world.refresh()
    return world


def away() -> World:
    world = fresh()
    world.evidence.answers[NODES[0]] = NodeAnswer(AWAY)
    for run in world.evidence.runs:
        run.nodes[NODES[0]].rows.clear()
        run.nodes[NODES[0]].log = None
    return world


def shown(report: Report) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_table(report))
    return console.export_text()


@pytest.mark.parametrize(
    ("world", "code", "verdict"),
    [(fresh, 0, "kept"), (tampered, 1, "broken"), (away, 2, "not known")],
)
def test_the_verdict_has_an_exit_code_and_a_name(world: object, code: int, verdict: str) -> None:
    report: Report = world().verify()  # type: ignore[operator]
    assert report.exit_code == code
    described = report.to_json()
    assert (described["verdict"], described["passed"]) == (verdict, code == 0)
    assert verdict in shown(report)
    assert json.loads(json.dumps(described)) == described


def test_a_run_has_a_row_for_each_node() -> None:
    lines = shown(fresh().verify()).splitlines()
    rows = [line.split() for line in lines if str(NODES[1]) in line.split()]
    assert len(rows) == len(RUNS)
    assert all(row[-1] == "kept" for row in rows)


def test_only_the_node_that_fails_is_blamed_in_the_table() -> None:
    report = tampered().verify()
    (broken,) = (line for line in shown(report).splitlines() if line.rstrip().endswith("broken"))
    assert str(NODES[0]) in broken.split()
    assert "✗ persistence" in shown(report)
    assert "✓ agreement" in shown(report)


def test_a_step_says_all_that_its_row_says() -> None:
    (first, *_) = fresh().verify().to_json()["runs"]
    (node, *_) = first["nodes"]
    assert [step["step"] for step in node["steps"]] == list(range(1, ROUNDS + 1))
    assert node["steps"][1]["handed_out"] == node["steps"][0]["stored"]
    assert node["stored"] == node["steps"][-1]["stored"]
    assert (node["partition_id"], node["entries"]) == (None, [])


def test_steps_are_left_out_of_large_reports() -> None:
    report = fresh().verify(keep_steps=False).to_json()
    nodes = [node for run in report["runs"] for node in run["nodes"]]
    assert {node["steps"] for node in nodes} == {None}
    assert {node["step_count"] for node in nodes} == {ROUNDS}


def test_many_findings_are_counted_in_the_table() -> None:
    world = fresh()
    for run in world.evidence.runs:
        for node in run.nodes.values():
            node.receipts.clear()
            node.rows = list(reversed(node.rows))
    text = shown(world.verify())
    assert "✗ agreement" in text
    assert "✗ completeness" in text


def test_more_runs_have_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "RUNS_WITH_NODES", 1)
    text = shown(tampered().verify())
    assert [line.split()[-1] for line in text.splitlines() if "finished:" in line] == [
        "broken",
        "kept",
    ]
    assert str(NODES[1]) not in text
