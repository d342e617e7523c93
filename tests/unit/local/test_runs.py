"""Runs at a real SuperLink: how they are started, and how they are waited for."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedstate.connection import Connection, write_connection
from fedstate.errors import FederationError
from fedstate.flower.control import Control
from fedstate.local.runs import start, submit, wait_for_runs
from tests.unit.superlink_in_process import SuperLink

APP = Path(__file__).parents[2] / "apps" / "counting"


@dataclass
class Here:
    """A federation of a SuperLink alone."""

    directory: Path
    connection: Connection

    @property
    def environment(self) -> Mapping[str, str]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": programs, "FLWR_HOME": str(self.directory)}


@pytest.fixture
def federation(tmp_path: Path, served_superlink: Connection) -> Here:
    write_connection(served_superlink, home=tmp_path)
    return Here(tmp_path, served_superlink)


def test_a_run_is_started_with_its_config(federation: Here, superlink: SuperLink) -> None:
    run_id = start(federation, APP, {"rounds": 7})
    (run,) = superlink.state.get_run_info(run_ids=[run_id])
    assert run.override_config == {"rounds": 7}


def test_a_run_that_is_refused_is_said_with_the_command_and_its_words(federation: Here) -> None:
    with pytest.raises(FederationError, match=r"(?s)`flwr run nowhere here .*not start a run: ."):
        submit(federation, Path("nowhere"))


def test_waiting_ends_with_all_runs_however_they_ended(
    federation: Here, superlink: SuperLink
) -> None:
    runs = [superlink.start_run() for _ in range(2)]
    superlink.end_run(runs[0])
    told: list[dict[int, str]] = []

    def progress(statuses: dict[int, str]) -> None:
        told.append(statuses)
        if len(told) == 1:
            superlink.end_run(runs[1])

    ended = wait_for_runs(federation, runs, 60, progress)
    assert told[0] == {runs[0]: "finished:completed", runs[1]: "running"}
    assert ended == told[-1] == dict.fromkeys(runs, "finished:completed")


def test_who_has_ended_is_not_asked_about_again(
    federation: Here, superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [superlink.start_run() for _ in range(3)]
    asked: list[int] = []

    def run_status(link: Control, run_id: int) -> str:
        asked.append(run_id)
        return status(link, run_id)

    def progress(statuses: dict[int, str]) -> None:
        if unfinished := [run_id for run_id in runs if statuses[run_id] == "running"]:
            superlink.end_run(unfinished[0])

    status = Control.run_status
    monkeypatch.setattr(Control, "run_status", run_status)
    wait_for_runs(federation, runs, 60, progress)
    assert asked == [*runs, *runs, *runs[1:], *runs[2:]]


def test_patience_has_an_end_that_names_the_runs(federation: Here, superlink: SuperLink) -> None:
    run_id = superlink.start_run()
    with pytest.raises(FederationError, match=f"not finished: {{{run_id}: 'running'}}; the logs"):
        wait_for_runs(federation, [run_id], 0)
