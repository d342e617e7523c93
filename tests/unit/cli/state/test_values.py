"""What states hold, as an operator sees it: histories, differences, files of both."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.commands import fedstate
from tests.operators_directory import ENDED, GOING, NODES, PLAIN, make

from fedstate.sizes import human_size


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("operator"))


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the operator's directory, in which the test works."""
    place = shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(place)
    return place


def result(*arguments: str) -> Any:
    done = fedstate("state", *arguments, "--format", "json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def sentence(*arguments: str) -> str:
    done = fedstate("state", *arguments)
    assert done.exit_code == 1, done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


@pytest.mark.usefixtures("here")
def test_a_history_is_the_same_on_a_node_in_a_directory_and_in_a_backup() -> None:
    rows = result("history", "4711", "loss", "--node", "2")
    assert [row["round"] for row in rows] == [1, 2, 3, 4, 5, 7, 8]
    assert rows[-1] == {"name": "loss", "entry": 6, "round": 8, "value": 1250.0}
    assert rows == result("history", str(GOING), "--state", "state")
    assert rows == result("history", f"{GOING}@8", "loss", "--state", "node.backup")
    shown = fedstate("state", "history", "4711", "--state", "encrypted", "--state-key", "old.key")
    assert "0.14285714285714285" in shown.stdout
    as_csv = fedstate("state", "history", "4711", "--node", "1", "--format", "csv").stdout
    assert next(csv.DictReader(io.StringIO(as_csv)))["value"] == "1.0"


@pytest.mark.usefixtures("here")
def test_a_history_is_drawn() -> None:
    drawn = fedstate("state", "history", "4711", "--node", "2", "--plot").stdout
    assert drawn.startswith("loss\n2000 ┤")
    pytest.importorskip("matplotlib")
    assert result("history", "4711", "--node", "2", "--png", "loss.png")["picture"] == "loss.png"
    assert Path("loss.png").read_bytes().startswith(b"\x89PNG")
    assert "is there already" in sentence("history", "4711", "--node", "2", "--png", "loss.png")


@pytest.mark.usefixtures("here")
def test_two_runs_are_compared() -> None:
    found = result("diff", "4711", "1848", "--node", "2")
    assert found["before"] == {"run": str(GOING), "state": 8}
    assert found["after"] == {"run": str(ENDED), "state": 8}
    assert found["equal"] == 4
    changes = [(each["value"], each["part"], each["change"]) for each in found["changes"]]
    assert changes == [("head", "kernel", "changed"), ("loss", "", "changed")]
    shown = fedstate("state", "diff", "4711", "1848", "--node", "2").stdout
    assert "7 -> 8 entries; of both, 3 of 7 elements differ" in shown
    assert shown.splitlines()[-1] == "4 pieces are equal."


@pytest.mark.usefixtures("here")
def test_a_run_is_compared_with_the_same_run_in_another_store() -> None:
    for other in (["--with-state", "state"], ["--with-state", "node.backup"]):
        shown = fedstate("state", "diff", "4711", "--node", "2", *other)
        assert shown.stdout == "Nothing differs: 6 pieces are equal.\n", shown.stderr
    key = ["--with-state", "encrypted", "--with-state-key", "old.key"]
    assert result("diff", "4711", "--node", "1", *key)["changes"] == []
    nodes = result("diff", "4711", "--node", "1", "--with-node", "2")["changes"]
    assert [(each["value"], each["part"]) for each in nodes] == [("head", "kernel"), ("loss", "")]
    assert nodes[0]["relative"] > 1000
    plain = result("diff", "4711", "9127", "--node", "2", "--with-state", "state")
    assert {each["change"] for each in plain["changes"]} == {"added", "removed", "type"}


@pytest.mark.usefixtures("here")
def test_two_states_of_a_run_are_compared() -> None:
    calm = result("diff", "4711@2", "4711@4", "--node", "2")
    leap = result("diff", "4711@4", "4711@5", "--node", "2")
    assert (leap["before"]["state"], leap["after"]["state"]) == (4, 5)
    sizes = [
        {(each["value"], each["part"]): each["relative"] for each in found["changes"]}
        for found in (calm, leap)
    ]
    assert sizes[0]["head", "kernel"] < 1 < 1000 < sizes[1]["head", "kernel"]
    rows = list(csv.DictReader(io.StringIO(csv_of("diff", "4711@4", "4711@5", "--node", "2"))))
    assert float(rows[0]["l2"]) == leap["changes"][0]["l2"]


def csv_of(*arguments: str) -> str:
    return fedstate("state", *arguments, "--format", "csv").stdout


@pytest.mark.usefixtures("here")
def test_a_value_and_a_study_are_exported() -> None:
    done = result("export", "4711", "head", "--node", "2", "--to", "head.npz")
    assert (done["format"], done["exported"], done["left_out"]) == ("npz", ["head"], [])
    assert done["size_bytes"] == Path("head.npz").stat().st_size
    assert "size" not in done
    with np.load("head.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "bias": (10,),
            "kernel": (32, 10),
        }
    export = ("export", "4711", "head", "--node", "2", "--to", "table.npz")
    shown = fedstate("state", *export).stdout
    assert human_size(done["size_bytes"]) in shown
    result("export", "--all", "--to", "study.csv")
    rows = list(csv.DictReader(io.StringIO(Path("study.csv").read_text())))
    assert {(row["run"], row["node"]) for row in rows} == {
        (str(run), str(node)) for run in (GOING, ENDED) for node in NODES
    }
    assert json.loads(rows[0]["config"]) == {"rate": 0.1}
    result("export", "--all", "--node", "1", "--to", "one.json")
    one = json.loads(Path("one.json").read_text())
    assert {row["node"] for row in one} == {str(NODES[0])}
    result("export", str(PLAIN), "--state", "node.backup", "--to", "file", "--as", "json")
    assert list(json.loads(Path("file").read_text())) == ["head", "metrics", "settings"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("history 4711", "Which node? Give --state DIRECTORY"),
        ("history 5 --node 2", "has no run whose ID begins with 5; it has 91274432"),
        ("history 4711@x --node 2", "'4711@x' names no state: give RUN, or RUN@N"),
        ("history 4711@30 --node 2", "of this run the node has: 0, 1, 2, 3, 4, 5, 7, 8"),
        ("history 4711 nothing --node 2", "has no history 'nothing'; it has 'loss'"),
        ("history 4711 head --node 2", "has no history 'head': that value is a dict"),
        ("history 9127 --node 2 --plot", "The state of run 9127 has no history to draw"),
        ("diff 4711 --node 2", "Compare with what? Name a second state"),
        ("diff 4711 1848 --node 2 --with-state-key old.key", "belongs to --with-state"),
        ("diff 4711 1848 --node 2 --with-node 1 --with-state state", "give one of them"),
        ("diff 4711 --node 2 --with-state nowhere", "There is no node store in 'nowhere'"),
        ("export 4711 --node 2", "Where to? Give --to FILE"),
        ("export --node 2 --to a.npz", "Name a run, or give --all"),
        ("export 4711 --all --node 2 --to a.csv", "Name a run, or give --all"),
        ("export 4711 --to a.npz", "Which node? Give --state DIRECTORY"),
        ("export 4711 --node 1 --node 2 --to a.npz", "give --state or --node once"),
        ("export 4711 --node 2 --to a", "The name of 'a' does not say its format"),
        ("export 4711 --node 2 --to a.npz --model a:b", "--model belongs to a file of Keras's"),
        ("export 4711 x --node 2 --to a.npz", "has no value 'x'; it has 'body', 'head'"),
        ("export 4711 --node 2 --to state", "The name of 'state' does not say its format"),
        ("export 4711 --node 2 --to state --as npz", "'state' is a directory"),
        ("export 4711 --node 2 --to nowhere/a.npz", "cannot be written (No such file"),
        ("export 4711 --node 2 --to /proc/a.npz", "'/proc/a.npz' cannot be written"),
        ("export 9127 --node 2 --to a.csv", "has no history to write as csv"),
        ("export --all --node 2 --to a.npz", "A table cannot be written as npz"),
        ("export --all --state state --node 2 --to a.csv", "are the same store"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_mistake_is_one_sentence(arguments: str, message: str) -> None:
    assert message in sentence(*arguments.split())
    assert not Path("a.csv").exists()
