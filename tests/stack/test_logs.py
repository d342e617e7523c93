"""What a federation logs while two runs go on at once, and when one is stopped: in JSON.

Each line is an object with the run, node, round and message that it is about; what a run prints
is that run's alone; and the end of a run is no error.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from tests.open_directory import new_directory
from tests.programs import PROGRAMS
from tests.stack.conftest import ROOT, command
from tests.waiting import wait_until

APP = ROOT / "tests" / "apps" / "printing"
SECONDS = 120.0
FOLLOW = (sys.executable, "-m", "fedstate", "logs")

Lines = list[dict[str, Any]]


@dataclass
class Logged:
    """A federation that has had three runs: two at once, by name, and one that was stopped."""

    federation: Federation
    runs: dict[str, str]
    stopped: str
    followed: str

    def of(self, log: Path) -> Lines:
        return [json.loads(line) for line in log.read_text().splitlines()]

    @property
    def logs(self) -> list[Path]:
        return [each.log_file for each in self.federation.processes]

    @property
    def outputs(self) -> list[Path]:
        directories = [
            self.federation.directory / name for name in ("superlink", "node-1", "node-2")
        ]
        return [each / "output" for each in directories]

    def shown(self, run: str, output: Path) -> Lines:
        done = command(
            *("fedstate", "logs", run[:12], "--output", output, "--format", "json"),
            environment=self.federation.environment,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSTATE_LOG_FORMAT", "json")
        federation = Federation(tmp_path_factory.mktemp("logs"), nodes=2, programs=PROGRAMS)
    until = new_directory() / "until"
    with federation:
        runs = {name: start(federation, APP, {"name": name}) for name in ("anna", "bert")}
        wait_for_runs(federation, [*runs.values()], SECONDS)
        config: dict[str, int | float | str] = {"name": "carl", "until": str(until), "flood": 12}
        stopped = start(federation, APP, config)
        wait_until(until.with_name("until.0").exists, SECONDS, "a ClientApp that waits")
        output = federation.directory / "node-1" / "output"
        follower = subprocess.Popen(
            [*FOLLOW, str(stopped), "--output", output, "--follow", "--format", "json"],
            stdout=subprocess.PIPE,
            text=True,
            env=federation.environment,
        )
        try:
            assert follower.stdout is not None
            first = follower.stdout.readline()
            ended = command(
                *("flwr", "stop", str(stopped), federation.connection.name),
                environment=federation.environment,
            )
            assert ended.returncode == 0, ended.stdout
            # Not `communicate`, which knows nothing of what `readline` has read ahead.
            rest = follower.stdout.read()
            follower.wait(SECONDS)
        finally:
            follower.kill()
            follower.wait()
        assert follower.returncode == 0
        yield Logged(
            federation,
            {name: str(run_id) for name, run_id in runs.items()},
            str(stopped),
            first + rest,
        )


def test_each_line_of_each_component_is_an_object(logged: Logged) -> None:
    components: Counter[str] = Counter()
    for log in logged.logs:
        for line in logged.of(log):
            assert {"time", "level", "component", "text"} <= line.keys()
            components[line["component"]] += 1
    assert components.keys() == {"superlink", "supernode", "executor", "clientapp"}


def test_a_step_is_three_lines_with_run_round_and_message(logged: Logged) -> None:
    for node in logged.federation.nodes:
        lines = logged.of(node.supernode.log_file)
        (node_id,) = {line["node"] for line in lines if "node" in line}
        for run_id in logged.runs.values():
            of_run = [line for line in lines if line.get("run") == run_id and "message" in line]
            said = [(line["round"], line["text"].split(":")[0]) for line in of_run]
            words = ("Received", "Committed", "Sent")
            assert said == [(number, word) for number in "12" for word in words]
            assert len({line["message"] for line in of_run}) == 2
            assert {line["node"] for line in of_run} == {node_id}
            (commit, _) = (line for line in of_run if line["text"].startswith("Committed"))
            assert " bytes" in commit["text"]
            assert " ms" in commit["text"]


def test_the_superlink_s_lines_know_the_run_as_well(logged: Logged) -> None:
    lines = logged.of(logged.federation.superlink.log_file)
    for run_id in logged.runs.values():
        assert len([line for line in lines if line.get("run") == run_id]) >= 3
    assert not [line for line in lines if "HTTP/1.1" in line["text"]], "an access line"


def test_what_a_run_prints_is_shown_with_its_round_and_nothing_of_another(logged: Logged) -> None:
    for name, run_id in logged.runs.items():
        for output in logged.outputs[1:]:
            lines = logged.shown(run_id, output)
            assert {line["run"] for line in lines} == {run_id}
            assert len({line["node"] for line in lines}) == 1
            of_steps = [line for line in lines if name in line["text"]]
            for line in of_steps:
                assert f"{name} {line['round']}" in line["text"]
            ways = ("printed", "to standard error", "logged", "by a child")
            assert Counter(
                way for line in of_steps for way in ways if line["text"].startswith(way)
            ) == dict.fromkeys(ways, 2)
            others = set(logged.runs) - {name}
            assert not [line for line in lines if any(other in line["text"] for other in others)]
        served = [line["text"] for line in logged.shown(run_id, logged.outputs[0])]
        assert [each for each in served if each.startswith("served")] == [
            f"served {name} 1",
            f"served {name} 2",
        ]


def test_the_executor_s_log_has_the_same_lines(logged: Logged) -> None:
    for node, output in zip(logged.federation.nodes, logged.outputs[1:], strict=True):
        for run_id in logged.runs.values():
            lines = [
                line
                for line in logged.of(node.executor.log_file)
                if line.get("run") == run_id and line["component"] == "clientapp"
            ]
            assert lines == logged.shown(run_id, output)


def test_the_end_of_a_run_is_no_error(logged: Logged) -> None:
    files = [*logged.logs, *(each for output in logged.outputs for each in output.iterdir())]
    bad = [
        line
        for file in files
        for line in logged.of(file)
        if line["level"] in ("ERROR", "CRITICAL") or "Traceback" in line["text"]
    ]
    assert bad == []


def test_following_shows_what_there_is_and_ends_when_the_run_ends(logged: Logged) -> None:
    lines = [json.loads(line) for line in logged.followed.splitlines()]
    assert {line["run"] for line in lines} == {logged.stopped}
    assert any(line["text"] == "printed carl 1" for line in lines)


def test_a_flood_is_bounded_and_that_is_said(logged: Logged) -> None:
    (file,) = (
        each for each in logged.outputs[1].iterdir() if each.name == f"{logged.stopped}.log"
    )
    assert file.stat().st_size < 10 * 1024**2
    notes = [line["text"] for line in logged.of(file) if line["component"] == "executor"]
    assert any("bytes are dropped" in note for note in notes)
