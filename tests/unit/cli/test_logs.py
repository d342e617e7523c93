"""`fedstate logs` shows one run's lines, of the nodes that are named, in each format."""

import csv
import io
import json
from pathlib import Path

import pytest
from tests.commands import fedstate

from fedstate.logs.lines import Line
from fedstate.logs.run_files import RunFile

RUN, OTHER = 1234, 1299
HOSTILE = "\x1b[2Jbell\x07"


@pytest.fixture(autouse=True)
def federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of two runs on two nodes and at the SuperLink, as `fedstate local up` has it."""
    here = tmp_path / ".fedstate"
    for place, component in (
        ("superlink", "serverapp"),
        ("node-1", "clientapp"),
        ("node-2", "clientapp"),
    ):
        (here / place / "output").mkdir(parents=True)
        for run in (RUN, OTHER):
            file = RunFile(here / place / "output", run)
            labels = {"run": str(run), "round": "1"}
            file.write([Line(1.0, "INFO", component, f"{place} {HOSTILE}", labels)])
            file.end()
    monkeypatch.chdir(tmp_path)
    return here


def shown(*arguments: str | Path) -> list[str]:
    done = fedstate("logs", *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()


def refusal(*arguments: str | Path) -> str:
    done = fedstate("logs", *arguments)
    assert done.exit_code == 1
    return done.stderr


def test_the_lines_of_every_node_are_shown_and_none_of_another_run() -> None:
    lines = shown("123")
    assert len(lines) == 3
    assert all(f"[run {RUN} round 1]: " in line for line in lines)
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    assert {line.rpartition("]: ")[2].split()[0] for line in lines} == {
        "superlink",
        "node-1",
        "node-2",
    }


def test_one_node_s_lines_are_shown(federation: Path) -> None:
    assert len(shown("1234", "--node", "2")) == 1
    (federation / "state").mkdir()
    (federation / "state" / "output").symlink_to(federation / "node-1" / "output")
    for arguments in (
        ("--state", federation / "state"),
        ("--output", federation / "node-1" / "output"),
        ("--node", "1"),
    ):
        (line,) = shown("1234", *arguments)
        assert line.endswith(r"node-1 \x1b[2Jbell\x07")


def test_following_ends_with_the_run() -> None:
    assert shown("1234", "--follow") == shown("1234")


def test_json_and_csv_are_for_programs() -> None:
    lines = [json.loads(each) for each in shown("1234", "--format", "json")]
    assert [(each["run"], each["round"], each["level"]) for each in lines] == [
        ("1234", "1", "INFO")
    ] * 3
    assert lines[0]["text"].endswith(HOSTILE)
    rows = list(csv.DictReader(io.StringIO("\n".join(shown("1234", "--format", "csv")))))
    assert [(row["run"], row["message"]) for row in rows] == [("1234", "")] * 3


def test_a_mistake_in_one_sentence(
    federation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Several runs begin with '12': 1234, 1299" in refusal("12")
    assert "no output here of a run that begins with '9'; there is of: 1234, 1299" in refusal("9")
    assert "There is no node 3 in '.fedstate'; there is 1, 2." in refusal("1234", "--node", "3")
    assert "give one of them" in refusal("1234", "--node", "1", "--state", "x")
    assert "--state is none, which is no directory" in refusal("1234", "--state", "none")
    assert "--output is none, which is no directory" in refusal("1234", "--output", "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(federation)
    assert "There is no federation in this directory" in refusal("1234")


DOCKER = """#!/bin/sh
case "$*" in
    "compose config --services") printf 'superlink\\nserverapp\\nsupernode-1\\nsupernode-2\\n' ;;
    "compose ps --all --services") cat made ;;
    "compose ps --services --status running") cat running ;;
    *" supernode-2 fedstate logs 12 --state state --format json")
        echo 'Container Creating' >&2; echo 'fedstate: no run' >&2; exit 1 ;;
    "compose exec -T --user serverapp serverapp fedstate logs 12 --output output --format json"*|\
    "compose exec -T supernode-1 fedstate logs 12 --state state --format json"*|\
    "compose run --rm --no-deps -T serverapp fedstate logs 12 --output output --format json"|\
    "compose run --rm --no-deps -T supernode-1 fedstate logs 12 --state state --format json")
        echo '{LINE}' ;;
    *) exit 99 ;;
esac
"""
LINE = Line(1.0, "INFO", "clientapp", "of a container", {"run": "12"})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a compose project, whose containers are all running."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.replace("{LINE}", LINE.to_json()))
    docker.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    (project / "docker-compose.yml").touch()
    for name in ("made", "running"):
        (project / name).write_text("superlink\nserverapp\nsupernode-1\nsupernode-2\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return project


@pytest.mark.usefixtures("project")
def test_the_containers_of_a_project_are_asked() -> None:
    assert shown("12") == [LINE.to_text()] * 2
    assert shown("12", "--node", "1", "--follow") == [LINE.to_text()]
    assert refusal("12", "--node", "2") == "fedstate: no run\n"
    assert "has no SuperNode 7; it has 1, 2." in refusal("12", "--node", "7")


def test_the_output_of_containers_that_are_stopped_is_on_their_volumes(project: Path) -> None:
    (project / "running").write_text("")
    assert shown("12") == [LINE.to_text()] * 2
    # What is down prints nothing more.
    assert shown("12", "--node", "1", "--follow") == [LINE.to_text()]
    # Those that are not there are made for the node that is named alone.
    (project / "made").write_text("")
    assert shown("12", "--node", "1") == [LINE.to_text()]
    assert refusal("12") == (
        "fedstate: There are no containers of this directory's project. Name a node, whose "
        "output is on a volume, with --node 1, or start the project: docker compose up --detach\n"
    )


def test_what_docker_cannot_do_in_a_project_is_said(project: Path) -> None:
    (project.parent / "docker").write_text("#!/bin/sh\necho 'no daemon here' >&2; exit 1\n")
    assert "`docker compose config --services` failed in" in refusal("12")
