"""The page about looking into a node: its walk-through finds what it says, in three commands."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests import operators_directory
from tests.commands import fedstate

PAGE = (Path(__file__).parents[2] / "docs" / "looking.md").read_text()
HEADING = '## From "something is wrong with node 2" to the layer and the reason'


@pytest.fixture(autouse=True, scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return operators_directory.make(tmp_path_factory.mktemp("operator"))


@pytest.fixture(autouse=True)
def _in_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)


def walk_through() -> tuple[list[str], list[list[str]]]:
    """Return the commands, and for each of them what the page says is to be seen."""
    text = PAGE.split(HEADING)[1].split("\n## ")[0]
    (block,) = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    points = re.findall(r"(?ms)^\d\. (.*?)(?=^\d\. |\n\n)", text)
    return block.splitlines(), [re.findall(r"`([^`]+)`", point) for point in points]


def run(command: str, *options: str) -> str:
    done = fedstate(*shlex.split(command, comments=True)[1:], *options)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_it_takes_three_commands_and_each_shows_what_the_page_says() -> None:
    commands, points = walk_through()
    assert len(commands) == len(points) <= 3
    for command, fragments in zip(commands, points, strict=True):
        shown = run(command)
        for fragment in fragments:
            if fragment != "body":  # which is not shown, since it has not changed
                assert fragment in shown, command


def test_the_layer_and_the_reason_are_those_that_were_put_there() -> None:
    log, show, diff = walk_through()[0]
    (failed,) = json.loads(run(log, "--format", "json"))
    assert failed["reason"] == operators_directory.REASON
    assert failed["step"] == operators_directory.FAILED_ROUND
    (loss,) = [
        value
        for value in json.loads(run(show, "--format", "json"))["values"]
        if value["name"] == "loss"
    ]
    leap = max(range(len(loss["content"])), key=loss["content"].__getitem__)
    assert leap + 1 == operators_directory.DIVERGED_ROUND
    changes = json.loads(run(diff, "--format", "json"))["changes"]
    layers = {(each["value"], each["part"]): each["relative"] for each in changes}
    of_layers = {place: size for place, size in layers.items() if place[0] in ("head", "body")}
    assert max(of_layers, key=of_layers.__getitem__) == ("head", "kernel")
    assert sorted(of_layers.values())[-2] < 1
    assert ("body", "kernel") not in layers


def test_nothing_is_found_on_the_node_that_is_well() -> None:
    log, _, diff = (command.replace("--node 2", "--node 1") for command in walk_through()[0])
    assert json.loads(run(log, "--format", "json")) == []
    changes = json.loads(run(diff, "--format", "json"))["changes"]
    assert all(each["relative"] is None or each["relative"] < 1 for each in changes)


@pytest.mark.parametrize(
    "command",
    [
        line
        for block in re.findall(r"(?ms)^```sh\n(.*?)^```", PAGE)
        for line in block.splitlines()
        if line.startswith("fedstate ")
    ],
)
def test_each_command_of_the_page_works(command: str) -> None:
    assert run(command)
