"""The verdict on runs at a real SuperLink, whose nodes answer or do not."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.commands import fedstate
from tests.unit.superlink_in_process import SuperLink
from tests.unit.verify.at_superlink import answering, note, runs_at
from tests.unit.verify.made import World, digest, exchange

from fedstate.connection import Connection, write_connection
from fedstate.local.process import free_port
from fedstate.records import SCHEMA, record_file
from fedstate.verify.evidence import RunEvidence
from fedstate.verify.watching import pause_after

ROUNDS, NODES = 3, 2


@pytest.fixture
def world(superlink: SuperLink) -> World:
    """Two runs that have completed."""
    return runs_at(superlink, 2, NODES, ROUNDS)


@pytest.fixture
def nodes(superlink: SuperLink, world: World) -> Iterator[None]:
    """The nodes of the runs answer what they are asked."""
    with answering(superlink, world):
        yield


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of records, which commands find by themselves."""
    monkeypatch.setenv("FEDSTATE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def verify(world: World, *options: str) -> Result:
    return fedstate("verify", *(str(run.run_id) for run in world.evidence.runs), *options)


def as_json(done: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.usefixtures("connected", "nodes")
def test_what_was_kept_passes_in_both_forms(world: World) -> None:
    table = verify(world)
    assert table.exit_code == 0, table.stdout + table.stderr
    for name in ("persistence", "isolation", "completeness", "agreement"):
        assert f"✓ {name}" in table.stdout
    assert table.stdout.count("answered") == 2 * NODES
    report = as_json(verify(world, "--format", "json"))
    assert (report["schema"], report["passed"]) == ("fedstate.report/2", True)
    assert report["verdict"] == "kept"
    for run in report["runs"]:
        assert (run["status"], run["rounds"]) == ("finished:completed", ROUNDS)
        assert [len(node["steps"]) for node in run["nodes"]] == [ROUNDS] * NODES


@pytest.mark.usefixtures("connected", "nodes")
def test_csv_has_a_row_for_each_node_in_each_run(world: World) -> None:
    done = verify(world, "--format", "csv")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    report = as_json(verify(world, "--format", "json"))
    assert [(row["run"], row["node"], int(row["steps"])) for row in found] == [
        (str(run["run_id"]), str(node["node_id"]), ROUNDS)
        for run in report["runs"]
        for node in run["nodes"]
    ]
    assert {row["verdict"] for row in found} == {"kept"}
    assert all(len(row["state"]) == 64 for row in found)


@pytest.mark.usefixtures("connected", "nodes")
def test_a_table_in_a_pipe_is_not_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finding is one line there, and each node, whatever width the shell has noted."""
    monkeypatch.setenv("COLUMNS", "40")
    run = world.evidence.runs[0]
    node_id = next(iter(run.nodes))
    world.nodes[node_id].states[run.run_id] = digest("something else")
    world.refresh()
    shown = verify(world)
    report = as_json(verify(world, "--format", "json"))
    lines = shown.stdout.splitlines()
    assert {f"    ✗ {each['text']}" for each in report["findings"]} <= set(lines)
    rows = [line.split() for line in lines if "answered" in line.split()]
    assert [row[0] for row in rows] == [
        str(node["node_id"]) for run in report["runs"] for node in run["nodes"]
    ]
    assert all(len(line) == len(line.rstrip()) or len(line) < 200 for line in lines)


@pytest.mark.usefixtures("connected", "nodes")
def test_the_fields_of_version_1_are_still_there(world: World, records: Path) -> None:
    run = world.evidence.runs[0]
    record(records, run)
    report = as_json(fedstate("verify", str(run.run_id), "--format", "json"))
    assert {"schema", "flwr", "engine", "runs", "checks", "passed"} <= report.keys()
    assert (report["flwr"], report["engine"]) == ("1.42.0", "processes")
    (of_run,) = report["runs"]
    assert {"run_id", "status", "rounds", "nodes"} <= of_run.keys()
    first = next(each for each in of_run["nodes"] if each["entries"])
    assert first["partition_id"] == 0
    assert first["entries"][0].keys() == {
        *("sequence", "round", "message_id", "parent", "digest", "loss")
    }
    assert all(each.keys() >= {"name", "passed", "detail"} for each in report["checks"])


def record(directory: Path, run: RunEvidence) -> None:
    """Write what a ServerApp records of a run: one node's replies and what it told."""
    node_id, node = next(iter(run.nodes.items()))
    delivery = node.deliveries[0]
    entry = {
        "sequence": 1, "run_id": str(run.run_id), "node_id": str(node_id), "round": 1,
        "action": "train", "message_id": delivery.message_id, "parent": "", "digest": "ab",
    }  # fmt: skip
    head = {"schema": SCHEMA, "run_id": str(run.run_id), "flwr": "1.42.0"}
    reply = {"node_id": str(node_id), "round": 1, "action": "train"}
    reply |= {"message_id": delivery.message_id, "reply_id": delivery.message_id}
    told = {"node_id": str(node_id), "partition_id": 0, "digest": "ab", "history": [0.5]}
    lines = [head | {"engine": "processes", "config": {}}, {"reply": {**reply, "commit": entry}}]
    lines.append({"node": {**told, "entries": [entry]}})
    file = record_file(directory, run.run_id)
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.usefixtures("connected", "nodes")
def test_what_was_not_kept_is_named_in_both_forms(world: World) -> None:
    run = world.evidence.runs[0]
    (node_id, of_node), *_ = run.nodes.items()
    world.nodes[node_id].states[run.run_id] = digest("something else")
    world.refresh()
    table = verify(world)
    assert table.exit_code == 1
    assert "✗ persistence" in table.stdout
    assert "✓ isolation" in table.stdout
    report = as_json(verify(world, "--format", "json"))
    assert (report["passed"], report["verdict"]) == (False, "broken")
    (finding,) = (each for each in report["findings"] if each["verdict"] == "broken")
    assert (finding["kind"], finding["step"]) == ("held-state-differs", ROUNDS)
    assert (finding["run_id"], finding["node_id"]) == (str(run.run_id), str(node_id))
    assert finding["parties"] == ["the node's store", "the node's log"]
    assert len(of_node.rows) == ROUNDS


@pytest.mark.usefixtures("connected")
def test_nodes_that_do_not_answer_are_named_and_it_is_not_known(world: World) -> None:
    done = verify(world, "--node-seconds", "0.1", "--format", "json")
    assert done.exit_code == 2
    report = as_json(done)
    assert {node["asked"] for run in report["runs"] for node in run["nodes"]} == {"without a log"}
    assert {each["kind"] for each in report["findings"]} == {"node-not-asked"}


@pytest.mark.usefixtures("connected", "nodes")
def test_first_digits_name_a_run_and_since_means_those_that_are_newer(world: World) -> None:
    run_id = str(world.evidence.runs[0].run_id)
    named = as_json(fedstate("verify", run_id[:12], "--format", "json"))
    assert [run["run_id"] for run in named["runs"]] == [run_id]
    recent = as_json(fedstate("verify", "--since", "1h", "--format", "json"))
    assert {str(run.run_id) for run in world.evidence.runs} <= {
        run["run_id"] for run in recent["runs"]
    }
    for form in ("table", "json"):
        done = fedstate("verify", "--since", "2090-01-01", "--format", form)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "There is no run since 2090-01-01 to verify" in done.stderr


@pytest.mark.usefixtures("connected")
def test_runs_are_watched_until_they_have_ended(
    superlink: SuperLink, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunEvidence(superlink.start_run(), status="running")
    run.series_id = run.run_id
    world.evidence.runs.append(run)
    node = next(iter(world.nodes.values()))
    exchange(run, node, "the first", "the first")
    note(superlink, run)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        superlink.end_run(run.run_id)

    monkeypatch.setattr("fedstate.verify.watching.time.sleep", pause)
    monkeypatch.setattr("fedstate.verify.watching.follow.__defaults__", (pause,))
    with answering(superlink, world):
        done = fedstate("verify", str(run.run_id), "--watch", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert len(pauses) == 1
    assert as_json(done)["runs"][0]["status"] == "finished:completed"
    lines = [line for line in done.stderr.splitlines() if line.startswith("run ")]
    assert [line.split(": ")[1].split(",")[0] for line in lines] == [
        "running",
        "finished:completed",
    ]


@pytest.mark.parametrize(("took", "pause"), [(0.0, 5.0), (0.5, 5.0), (2.0, 18.0), (99.0, 60.0)])
def test_watching_a_long_run_takes_a_tenth_of_the_time(took: float, pause: float) -> None:
    assert pause_after(took) == pause


@pytest.mark.usefixtures("connected", "nodes")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("x42",), "'x42' is no ID of a run"),
        (("00",), "The SuperLink has no run whose ID begins with 00"),
        (("1", "--all"), "Name runs, or give --all or --since, but not both."),
        (("--all", "--since", "1h"), "--all means every run, and --since some of them"),
        (("--since", "soon"), "--since is 'soon', which is neither a duration"),
        (("--superlink", "elsewhere"), "The SuperLink connection 'elsewhere' cannot be used"),
        (("--state", "nowhere", "--watch"), "--state checks a node's store alone"),
        (("--state-key", "file"), "--state-key and --public-key belong to --state"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_known(
    arguments: tuple[str, ...], sentence: str
) -> None:
    done = fedstate("verify", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr.splitlines()[-1]


@pytest.mark.usefixtures("connected", "nodes")
def test_a_record_that_cannot_be_read_stops_no_verdict(world: World, records: Path) -> None:
    run = world.evidence.runs[0]
    file = record_file(records, run.run_id)
    file.parent.mkdir(parents=True)
    file.write_text("no JSON\n")
    done = fedstate("verify", str(run.run_id), "--format", "json")
    assert done.exit_code == 2
    (finding,) = as_json(done)["findings"]
    assert finding["kind"] == "record-unreadable"
    assert f"The record {file} is damaged" in finding["text"]


def test_without_a_superlink_there_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served_superlink: Connection
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    address = f"127.0.0.1:{free_port()}"
    write_connection(
        Connection("here", address, served_superlink.root_certificates), default=True
    )
    done = fedstate("verify", "--format", "json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"The SuperLink at {address} cannot be reached" in done.stderr
