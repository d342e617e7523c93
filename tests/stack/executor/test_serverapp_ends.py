"""A ServerApp that ends its process, in whichever way, is reported at once and in words.

On stock Flower all but `raise` leave the run "running" until the task's token expires, after 30
to 60 s, and a fork that comes back, or is stopped by a pool, ends the run in its parent's place.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.proto.control_pb2 import ListRunsRequest
from tests.programs import PROGRAMS
from tests.stack.conftest import ROOT, command
from tests.waiting import wait_until

from fedstate.flower.control import control
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs

APP = ROOT / "tests" / "apps" / "ending"
AT_ONCE = 25.0


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("one"), nodes=1, programs=PROGRAMS) as running:
        yield running


def details(federation: Federation, run_id: int) -> str:
    with control(federation.connection) as link:
        runs = link._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict
    return str(runs[run_id].status.details)


@pytest.mark.allowed_errors(
    r"ServerApp raised an exception|Exit Code|AppEndedError|SystemExit|KeyboardInterrupt"
    r"|ValueError|LimitReachedError|Too many open files",
    r"Task \d+ failed: The process of the task",
)
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit 3", "The ServerApp has ended itself with sys.exit(3)."),
        ("exit 0", "The ServerApp has ended itself with sys.exit(0)."),
        ("exit with words", "The ServerApp has ended itself with sys.exit('no nodes today')."),
        ("interrupt", "The ServerApp has ended itself with KeyboardInterrupt"),
        ("raise", "a fork has failed"),
        ("files", "(--max-open-files)"),
        ("leave", "The process of the task ended with exit code 4."),
        ("kill", "The process of the task was ended by SIGKILL"),
    ],
)
def test_the_run_fails_at_once_with_the_reason(
    federation: Federation, tmp_path: Path, how: str, words: str
) -> None:
    run_id = start(federation, APP, {"how": how, "result": str(tmp_path / "result")})
    assert wait_for_runs(federation, [run_id], AT_ONCE) == {run_id: "finished:failed"}
    assert words in details(federation, run_id)


@pytest.mark.allowed_errors(r"ValueError: a fork has failed")
def test_forks_of_a_serverapp_report_nothing(federation: Federation, tmp_path: Path) -> None:
    result = tmp_path / "result"
    run_id = start(federation, APP, {"how": "forks", "result": str(result)})
    assert wait_for_runs(federation, [run_id], AT_ONCE) == {run_id: "finished:completed"}
    assert json.loads(result.read_text()) == [0, 7, 1, -15, 3, 3, 3, 3, 3]


def test_a_serverapp_ends_as_a_program_does(federation: Federation, tmp_path: Path) -> None:
    result = tmp_path / "result"
    run_id = start(federation, APP, {"how": "return", "result": str(result)})
    assert wait_for_runs(federation, [run_id], AT_ONCE) == {run_id: "finished:completed"}
    wait_until(lambda: result.read_text())
    assert result.with_suffix(".thread").read_text() == "ended"
    seen = json.loads(result.read_text())
    assert [Path(each).name for each in seen["argv"]] == ["flwr-serverapp"]
    assert seen["stdin"] == ""


@pytest.mark.allowed_errors(r"ServerApp raised an exception|AppEndedError|SystemExit|Exit Code")
def test_the_runs_log_has_the_last_words(federation: Federation, tmp_path: Path) -> None:
    run_id = start(federation, APP, {"how": "exit 3", "result": str(tmp_path / "result")})
    wait_for_runs(federation, [run_id], AT_ONCE)
    shown = command(
        *("flwr", "log", str(run_id), federation.connection.name, "--show"),
        environment=federation.environment,
    )
    assert "the last words" in shown.stdout
    assert "sys.exit(3)" in shown.stdout
