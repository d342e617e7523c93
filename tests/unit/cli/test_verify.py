"""The verdict on real records, beside a real SuperLink that knows the runs, or none."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.commands import fedstate
from tests.unit.superlink_in_process import SuperLink
from tests.unit.verify.runs import NODES, holding, kept, with_holding

from fedstate.connection import Connection, write_connection
from fedstate.local.process import free_port
from fedstate.records import SCHEMA
from fedstate.verify.evidence import RunEvidence, read_runs


def record(directory: Path, run: RunEvidence) -> None:
    """Write a run's record, as `RecordingGrid` does."""
    replies = []
    for reply in run.replies:
        fields = {name: value for name, value in asdict(reply).items() if value is not None}
        replies.append(fields)
    nodes = [asdict(each) for each in run.holdings]
    fields = {"schema": SCHEMA, "run_id": run.run_id, "flwr": run.flwr, "engine": run.engine}
    content = {**fields, "config": dict(run.config), "replies": replies, "nodes": nodes}
    (directory / f"{run.run_id}.json").write_text(json.dumps(content))
    assert read_runs(directory, [run.run_id]) == [run]


@pytest.fixture
def run_id(superlink: SuperLink) -> str:
    """A run that has completed."""
    run_id = superlink.start_run()
    superlink.end_run(run_id)
    return str(run_id)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_id: str) -> Path:
    """The directory of records, with that of the run; commands find it by themselves."""
    directory = tmp_path / "runs"
    directory.mkdir()
    monkeypatch.setenv("FEDSTATE_RUNS", str(directory))
    record(directory, kept(run_id, seed=1))
    return directory


@pytest.mark.usefixtures("connected", "runs")
def test_what_was_kept_passes_in_both_forms(run_id: str) -> None:
    table = fedstate("verify")
    assert table.exit_code == 0, table.stderr
    assert f"run {run_id}, finished:completed, on processes" in table.stdout
    assert "✓ persistence" in table.stdout
    as_json = fedstate("verify", run_id, "--format", "json")
    assert as_json.exit_code == 0
    report = json.loads(as_json.stdout)
    assert report["passed"] is True
    assert [each["status"] for each in report["runs"]] == ["finished:completed"]


@pytest.mark.usefixtures("connected")
def test_what_was_not_kept_fails_in_both_forms(runs: Path, run_id: str) -> None:
    run = kept(run_id, seed=1)
    record(runs, with_holding(run, NODES[0], digest=holding(run, NODES[1]).digest))
    table = fedstate("verify")
    assert table.exit_code == 1
    assert "✗ persistence" in table.stdout
    as_json = fedstate("verify", "--format", "json")
    assert as_json.exit_code == 1
    report = json.loads(as_json.stdout)
    assert report["passed"] is False
    failed = [check for check in report["checks"] if not check["passed"]]
    assert all(NODES[0] in check["detail"] for check in failed)
    assert "persistence" in [check["name"] for check in failed]


@pytest.mark.usefixtures("connected")
def test_a_run_that_the_superlink_does_not_know_has_no_known_end(runs: Path) -> None:
    record(runs, kept("7", seed=1))
    done = fedstate("verify", "7", "--format", "json")
    assert json.loads(done.stdout)["runs"][0]["status"] == "unknown"


@pytest.mark.usefixtures("connected", "runs")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("42",), "Run 42 left no record in "),
        (("--runs", "nowhere"), "nowhere holds no record of any run"),
        (("--superlink", "elsewhere"), "The SuperLink connection 'elsewhere' cannot be used"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = fedstate("verify", *arguments)
    assert done.exit_code == 1
    assert not done.stdout
    assert sentence in done.stderr.splitlines()[-1]


@pytest.mark.usefixtures("connected")
def test_a_damaged_record_is_named(runs: Path) -> None:
    (runs / "9.json").write_text("{")
    done = fedstate("verify")
    assert done.exit_code == 1
    assert done.stderr == f"fedstate: The record {runs / '9.json'} is damaged: it is not JSON.\n"


@pytest.mark.usefixtures("runs")
def test_without_a_superlink_there_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served_superlink: Connection
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    address = f"127.0.0.1:{free_port()}"
    write_connection(
        Connection("here", address, served_superlink.root_certificates), default=True
    )
    done = fedstate("verify", "--format", "json")
    assert done.exit_code == 1
    assert not done.stdout
    assert f"The SuperLink at {address} cannot be reached" in done.stderr
