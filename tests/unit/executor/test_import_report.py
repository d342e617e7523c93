"""What goes from a task, which may say anything, to the executor and to the room."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.executor.import_report import ImportReport, Variable

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}(\.[a-z_][a-z0-9_]{0,8}){0,2}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=20)


@st.composite
def reports(draw: st.DrawFn) -> ImportReport:
    seconds = st.integers(0, 10**6).map(lambda each: each / 1000)
    modules = draw(
        st.lists(st.tuples(names, seconds), max_size=4, unique_by=lambda each: each[0])
    )
    variables = st.builds(
        Variable,
        st.integers(0, len(modules)),
        texts.filter(lambda each: each and "=" not in each),
        st.none() | texts,
    )
    return ImportReport(
        tuple(modules),
        tuple(draw(st.lists(st.tuples(names, texts), max_size=3))),
        tuple(sorted(draw(st.lists(variables, max_size=3)), key=lambda each: each.position)),
        draw(st.frozensets(names, max_size=3)),
        draw(st.none() | texts),
    )


@given(reports())
def test_a_report_arrives_as_it_was_sent(report: ImportReport) -> None:
    assert ImportReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@given(reports(), reports())
def test_merging_keeps_what_was_set_before_each_module(
    first: ImportReport, second: ImportReport
) -> None:
    merged = first.merged(second)
    names = [name for name, _ in merged.modules]
    assert len(set(names)) == len(names)
    assert set(names) == {name for name, _ in (*first.modules, *second.modules)}
    for each in first.environment:
        assert each in merged.environment
    assert ImportReport.from_json(merged.to_json()) == merged
    assert merged.merged(second).modules == merged.modules


@given(reports(), st.data())
def test_what_is_left_out_moves_no_variable_behind_a_module(
    report: ImportReport, data: st.DataObject
) -> None:
    without = data.draw(st.sets(st.sampled_from([name for name, _ in report.modules] or [""])))
    rest = report.without(without)
    assert [each for each in report.modules if each[0] not in without] == list(rest.modules)
    for before, after in zip(report.environment, rest.environment, strict=True):
        kept = [name for name, _ in report.modules[: before.position] if name not in without]
        assert [name for name, _ in rest.modules[: after.position]] == kept


ROW = [["torch", 1.0]]


@pytest.mark.parametrize(
    "given",
    [
        {"modules": "torch"},
        {"modules": {"torch": 1}},
        {"modules": [["torch"]]},
        {"modules": [["torch", 1, 2]]},
        {"modules": ["torch"]},
        {"modules": [["torch; import os", 1]]},
        {"modules": [["../torch", 1]]},
        {"modules": [["torch.", 1]]},
        {"modules": [["", 1]]},
        {"modules": [["x" * 300, 1]]},
        {"modules": [[7, 1]]},
        {"modules": [["torch", "1"]]},
        {"modules": [["torch", -1]]},
        {"modules": [["torch", float("nan")]]},
        {"modules": [["torch", float("inf")]]},
        {"modules": [["torch", True]]},
        {"modules": [["torch", 1]] * 1000},
        {"left": [["torch", "two\nlines"]]},
        {"left": [["torch", "x" * 300]]},
        {"left": [["torch", None]]},
        {"environment": [[1, "A", "1"]]},
        {"environment": [[-1, "A", "1"]]},
        {"environment": [[True, "A", "1"]], "modules": ROW},
        {"environment": [[0, "A=B", "1"]]},
        {"environment": [[0, "", "1"]]},
        {"environment": [[0, "A", "1\0"]]},
        {"environment": [[0, "A", 1]]},
        {"environment": [[0, "A", "x" * 10_000]]},
        {"environment": [[0, "A", "1"]] * 100},
        {"own": "app"},
        {"own": ["a b"]},
        {"own": ["a"] * 1000},
        {"installed": 7},
        {"installed": "x" * 10_000},
    ],
)
def test_what_is_no_report_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"report of imports|no name of a module"):
        ImportReport.from_json(given)
