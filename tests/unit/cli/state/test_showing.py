"""What a run's state holds, value by value."""

import csv
import io
import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.commands import fedstate
from tests.operators_directory import (
    ENDED,
    GOING,
    PLAIN,
    ROUNDS,
    commit,
    context_of,
    split,
    start,
)
from tests.unit.state.steps import step as in_step

from fedstate.flower.stored_values import digest_of
from fedstate.store.node_store import NodeStore
from fedstate.store.step_log import Attempt


@pytest.fixture(autouse=True)
def here(operators_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(operators_place)
    return operators_place


def shown(*arguments: str | Path) -> dict[str, Any]:
    done = fedstate("state", "show", *arguments, "--format", "json")
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_value_has_type_shape_size_and_its_last_change() -> None:
    report = shown("4711", "--node", "1")
    assert (report["run"], report["status"], report["state"]) == (str(GOING), "running", ROUNDS)
    assert report["run_config"] == {"rate": 0.1}
    values = {value["name"]: value for value in report["values"]}
    body, head, loss = values["body"], values["head"], values["loss"]
    assert (body["type"], body["dtype"], body["changed_step"]) == ("dict", "float32", 1)
    assert body["size_bytes"] > 64 * 32 * 4
    assert (head["shape"], head["changed_step"]) == ("2 arrays, 330 numbers", ROUNDS)
    assert loss["type"] == "history"
    assert loss["content"] == [1 / n for n in range(1, ROUNDS + 1)]
    assert values["notes"]["content"] == {"round": ROUNDS, "images": 5}


def test_people_see_a_sentence_bars_and_where_failures_are_explained() -> None:
    text = fedstate("state", "show", "4711", "--node", "2").stdout
    assert text.startswith(f"Run {GOING}, running: the state of step {ROUNDS}, stored ")
    assert "▁▁▁▁█▆▅ 1250" in text
    assert "images 5, round 8" in text
    assert f"1 of {ROUNDS} steps have failed: `fedstate state log {GOING}" in text
    assert f"`fedstate state log {GOING} --node 2 --failed` has the reasons." in text
    well = fedstate("state", "show", "4711", "--node", "1").stdout
    assert "█▄▂▂▁▁▁▁ 0.125" in well
    assert "failed" not in well


def test_a_state_that_is_kept_is_shown_as_it_was() -> None:
    report = shown("4711@3", "--node", "2")
    values = {value["name"]: value for value in report["values"]}
    assert report["state"] == 3
    assert values["loss"]["content"] == [1, 1 / 2, 1 / 3]
    assert values["body"]["changed_step"] == 1
    assert values["head"]["changed_step"] == 3
    began = fedstate("state", "show", "4711@0", "--node", "2")
    assert "the state it began with" in began.stdout


def test_an_app_without_our_library_shows_its_records() -> None:
    values = {each["name"]: each for each in shown("9127", "--node", "1")["values"]}
    assert {name: value["type"] for name, value in values.items()} == {
        "head": "ArrayRecord",
        "metrics": "MetricRecord",
        "settings": "ConfigRecord",
    }
    assert values["metrics"]["content"] == {"loss": 1 / ROUNDS}
    assert f"Run {PLAIN}" in fedstate("state", "show", "9127", "--node", "1").stdout


def test_without_kept_states_a_change_is_known_by_the_commit_alone(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as store:
        context = context_of(ENDED, 1)
        start(store, context)
        for number in (1, 2):
            attempt = Attempt(1, str(number), "train", digest_of(split(context)), 0.5)
            with in_step(context, number) as state:
                state["same"] = 1.0
                state.history("loss").append(math.nan)
            commit(store, context, attempt)
    report = shown("1848", "--state", tmp_path / "state")
    values = {each["name"]: each for each in report["values"]}
    assert values["same"]["changed_step"] is None
    assert values["same"]["changed_at"] == report["stored"]
    # JSON knows no such number.
    assert values["loss"]["content"] == [None, None]
    text = fedstate("state", "show", "1848", "--state", tmp_path / "state").stdout
    assert "by step 2" in text
    assert "!! nan" in text


def test_csv_has_a_row_for_each_value() -> None:
    done = fedstate("state", "show", "4711", "--node", "1", "--format", "csv")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["name"] for row in found] == ["body", "head", "notes", "loss"]
    assert json.loads(found[3]["content"])[-1] == 1 / ROUNDS


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("3", "has no run whose ID begins with 3"),
        ("run", "'run' is no ID of a run"),
        ("4711@six", "'4711@six' names no state"),
        ("4711@99", "The state 99 of run"),
    ],
)
def test_a_state_that_is_none_is_one_sentence(name: str, sentence: str) -> None:
    done = fedstate("state", "show", name, "--node", "1")
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert done.stderr.startswith("fedstate: ")
