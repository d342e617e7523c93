"""What a shell is offered, as it asks for it."""

import shutil
from pathlib import Path

import pytest
import typer
from click.shell_completion import ShellComplete
from tests.commands import fedstate
from tests.operators_directory import ENDED, GOING, PLAIN

from fedstate.cli import app

COMMAND = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def here(operators_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(operators_place)
    return operators_place


def offered(line: str) -> list[str]:
    """Return what is offered for the last word of a line, which may be empty."""
    *words, incomplete = line.split(" ")
    shell = ShellComplete(COMMAND, {}, "fedstate", "_FEDSTATE_COMPLETE")
    return [str(each.value) for each in shell.get_completions(words, incomplete)]


def test_commands_and_options_are_offered() -> None:
    assert "log" in offered("state l")
    assert "--node" in offered("state log --n")
    assert offered("state log --format j") == ["json"]


def test_nodes_of_the_local_federation_are_offered() -> None:
    assert offered("state log --node ") == ["1", "2"]
    assert offered("state log --node 2") == ["2"]


def test_runs_of_the_store_that_is_named_are_offered() -> None:
    everything = {str(run_id) for run_id in (GOING, ENDED, PLAIN)}
    assert set(offered("state log --node 2 ")) == everything
    assert offered("state log --state node.backup 47") == [str(GOING)]
    assert offered("state log --state encrypted --state-key old.key 18") == [str(ENDED)]
    assert offered("state export --state node.backup 91") == [str(PLAIN)]
    assert offered("state kept --node 2 47") == [str(GOING)]
    assert offered("state rollback --node 2 47") == [str(GOING)]
    # Without a store: of all nodes here.
    assert offered("state log 91") == [str(PLAIN)]


def test_values_of_the_run_that_is_named_are_offered() -> None:
    assert offered("state export --node 2 4711 h") == ["head"]
    assert offered("state export --node 2 4711 ") == ["body", "head", "notes", "loss"]
    assert offered("state export --node 2 9127 m") == ["metrics"]
    assert offered("state export --node 2 3 ") == []


@pytest.mark.parametrize(
    "line",
    ["state log --state none ", "state log --state encrypted ", "state log --node 7 "],
)
def test_what_cannot_be_read_offers_nothing(line: str) -> None:
    assert offered(line) == []


def test_nothing_is_offered_where_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered("state log --node ") == offered("state log ") == []


def test_a_shell_is_told_how_to_ask() -> None:
    done = fedstate("--show-completion", "bash") if shutil.which("bash") else None
    assert done is None or "_FEDSTATE_COMPLETE=complete_bash" in done.stdout
