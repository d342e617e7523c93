"""What a compose project is asked: the program `docker` here writes down what it is told.

A real project is in tests/stack/containers.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests import bad_paths
from tests.command_paths import TABLE
from tests.commands import fedstate
from tests.operators_directory import NODES, make_state

from fedstate.certificates.keys import ensure_node_key
from fedstate.cli.compose import STATE
from fedstate.cli.nodes_here import nodes_here
from fedstate.connection import Connection, write_connection
from fedstate.store import read_backup

ROOT = Path(__file__).parents[3]

# One SuperNode is up, and the other down; what runs in a container runs here, beside the state.
DOCKER = """#!/bin/sh
echo "$@" >> "$SAID"
case "$*" in
    "compose config --services") printf 'superlink\\nsupernode-1\\nsupernode-2\\nexecutor-1\\n' ;;
    "compose ps --services --status running") [ -e "$DOWN" ] || echo supernode-1 ;;
    "compose ps --all --services") [ -e "$NEVER" ] || printf 'supernode-1\\nsupernode-2\\n' ;;
    "compose exec -T supernode-1 "*) shift 4; cd container && exec "$@" ;;
    "compose run --rm --no-deps -T supernode-2 "*) shift 6; cd container && exec "$@" ;;
    *) echo "no such service" >&2; exit 14 ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a compose project; what it is told is in the file ``said``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker-compose.yml").touch()
    (tmp_path / "container" / "identity").mkdir(parents=True)
    make_state(tmp_path / "container" / "state", NODES[1])
    ensure_node_key(tmp_path / "container" / "identity")
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    for name in ("said", "down", "never"):
        monkeypatch.setenv(name.upper(), str(tmp_path / name))
    programs = [str(program.parent), str(ROOT / ".venv" / "bin"), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(programs))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    return tmp_path


@pytest.mark.parametrize(
    ("node", "how"),
    [("1", "compose exec -T supernode-1"), ("2", "compose run --rm --no-deps -T supernode-2")],
)
def test_a_command_is_run_where_the_store_is(
    project: Path, capfd: pytest.CaptureFixture[str], node: str, how: str
) -> None:
    done = fedstate("state", "log", "4711", "--node", node, "--failed", "--format", "csv")
    assert done.exit_code == 0, done.stderr
    *_, told = (project / "said").read_text().splitlines()
    assert told == f"{how} fedstate state log 4711 --failed --format csv --state state"
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(",")[5] for line in lines] == ["outcome", "failed"]


@pytest.mark.usefixtures("project")
def test_its_exit_code_is_that_of_the_command() -> None:
    done = fedstate("state", "log", "12345", "--node", "1")
    assert done.exit_code == 1
    assert "has no run whose ID begins with 12345" in done.stderr


OLD, NEW = "01" * 32, "02" * 32


@pytest.fixture
def keys(project: Path) -> Path:
    """Two files with keys, which the container does not see."""
    (project / "old.key").write_text(OLD)
    (project / "new.key").write_text(NEW + "\n")
    return project


@pytest.mark.parametrize("node", ["1", "2"])
def test_keys_are_handed_into_the_container(
    keys: Path, capfd: pytest.CaptureFixture[str], node: str
) -> None:
    def state(*arguments: str) -> dict[str, object]:
        done = fedstate("state", *arguments, "--node", node, "--format", "json")
        assert done.exit_code == 0, done.stderr
        return json.loads(capfd.readouterr().out)  # type: ignore[no-any-return]

    files = bad_paths.content(keys / "container").keys()
    assert state("encrypt", "--state-key", "old.key").keys() == {
        *("directory", "store_id", "generation", "size_bytes")
    }
    assert state("check", "--state-key=old.key")["state"] == "intact"
    assert state("rotate-key", "--new-key", "new.key", "--old-key=old.key") == {
        "directory": "state"
    }
    assert state("list", "--state-key", str(keys / "new.key"))
    # What is written here is read from a backup, here.
    export = ["export", "4711", "--to", "a.json", "--state-key", "new.key"]
    done = fedstate("state", *export, "--node", node)
    assert done.exit_code == 0, done.stderr
    (keys / "a.json").unlink()
    assert state("decrypt", "--state-key", "new.key")["directory"] == "state"
    assert state("check")["state"] == "intact"
    # Neither in a file there, nor on a command line.
    assert bad_paths.content(keys / "container").keys() == files
    told = (keys / "said").read_text()
    assert "encrypt --format json --state state --state-key /dev/fd/3\n" in told
    assert "--state state --new-key /dev/fd/3 --old-key /dev/fd/4\n" in told.replace(
        "--old-key /dev/fd/3 --new-key /dev/fd/4", "--new-key /dev/fd/3 --old-key /dev/fd/4"
    )
    assert OLD not in told
    assert NEW not in told


KEYED = [
    (command, parameter, arguments)
    for (command, parameter), (arguments, *_) in TABLE.items()
    if command.startswith("state ") and "-key {path}" in arguments and parameter != "with_key"
]


@pytest.mark.parametrize(("command", "parameter", "arguments"), KEYED)
def test_a_key_is_looked_for_here_by_every_command(
    keys: Path, command: str, parameter: str, arguments: str
) -> None:
    (keys / "key").write_text(OLD)
    words = arguments.replace("--state {made}/state", "--node 1").format(
        path="missing.key", made=keys, new="new", run="1"
    )
    done = fedstate(*words.split(" "))
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "fedstate: The encryption key 'missing.key' cannot be read (No such file or directory)."
    ), (command, parameter)


def test_what_is_said_in_a_container_names_the_node(keys: Path) -> None:
    done = fedstate("state", "log", "12345", "--node", "1")
    assert "'supernode-1:state' has no run whose ID begins with 12345" in done.stderr
    done = fedstate("state", "check", "--node", "2", "--state-key", "new.key")
    assert done.exit_code == 1
    assert "is not encrypted, but an encryption key was given" in done.stderr


def test_a_node_that_is_none_is_said(project: Path) -> None:
    done = fedstate("state", "log", "--node", "3")
    assert done.exit_code == 1
    assert "has no SuperNode 3; it has 1, 2." in done.stderr


def test_what_docker_cannot_do_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "bin" / "docker").write_text("#!/bin/sh\necho 'no daemon here' >&2; exit 1\n")
    done = fedstate("state", "log", "--node", "1")
    assert "`docker compose config --services` failed in" in done.stderr
    assert done.stderr.endswith("no daemon here\n")
    monkeypatch.setenv("PATH", str(project / "none"))
    done = fedstate("state", "log", "--node", "1")
    assert done.exit_code == 1
    assert "there is no `docker` here" in done.stderr


def test_a_command_that_writes_files_here_gets_a_backup(project: Path) -> None:
    import click

    from fedstate.cli.place import place_of

    with click.Context(click.Command("export")):
        place = place_of(None, 1, copied=True)
        assert read_backup(place).generation > 0
    assert not place.exists()


@pytest.mark.parametrize("node", ["1", "2"])
def test_a_backup_is_written_here_and_can_be_restored(project: Path, node: str) -> None:
    done = fedstate("state", "backup", "saved", "--node", node, "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["backup"] == "saved"
    assert (project / "saved").stat().st_mode & 0o777 == 0o600
    assert {each.name for each in (project / "container").iterdir()} == {"identity", "state"}
    restored = fedstate("state", "restore", "saved", "--state", "restored")
    assert restored.exit_code == 0, restored.stderr
    assert fedstate("state", "check", "--state", "restored").exit_code == 0
    # A file that is there stays as it is.
    before = (project / "saved").read_bytes()
    again = fedstate("state", "backup", "saved", "--node", node)
    assert again.exit_code == 1
    assert "The backup 'saved' exists already." in again.stderr
    assert (project / "saved").read_bytes() == before


def test_a_restore_says_that_it_works_in_the_container_alone(project: Path) -> None:
    done = fedstate("state", "restore", "saved", "--node", "1", "--replace")
    assert done.exit_code == 1
    assert done.stderr == (
        "fedstate: The store of node 1 is in a container, and 'saved' is read here: run "
        "`fedstate state restore` in that container, with --state (docs/state.md has the line).\n"
    )
    assert not (project / "said").exists()


def test_the_line_of_the_docs_restores_into_a_container(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(project))
    assert fedstate("state", "backup", "node-2.backup", "--node", "2").exit_code == 0
    (line,) = [
        line
        for line in (ROOT / "docs" / "state.md").read_text().splitlines()
        if line.startswith("docker compose run") and "state restore" in line
    ]
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    state = project / "container" / "state"
    assert [each.name for each in state.iterdir() if each.name.startswith("replaced-")]
    assert fedstate("state", "check", "--state", state).exit_code == 0


def test_what_is_known_of_the_nodes(project: Path) -> None:
    first, second = nodes_here()
    size = (project / "container" / "state" / "node.db").stat().st_size
    assert (first.number, first.directory) == (1, "supernode-1:state")
    assert first.store_bytes == size
    assert first.key.startswith("SHA256:")
    # Of a node that is down, without starting a container.
    assert (second.number, second.key, second.store_bytes) == (2, "", None)


def test_nodes_whose_containers_are_stopped_are_listed(project: Path) -> None:
    (project / "down").touch()
    done = fedstate("node", "list", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert [(row["number"], row["directory"]) for row in json.loads(done.stdout)] == [
        (1, "supernode-1:state"),
        (2, "supernode-2:state"),
    ]
    assert "No SuperLink was asked, and this is what is here" in done.stderr
    # A project that has never been started may be no federation that is used from here.
    (project / "never").touch()
    assert nodes_here() == []
    home = project / "certs" / "generated"
    write_connection(
        Connection("fedstate", "127.0.0.1:1", home / "ca.crt"), home=home, default=True
    )
    assert len(nodes_here()) == 2


def test_the_state_is_where_the_project_has_it() -> None:
    command = (ROOT / "compose" / "node.yml").read_text()
    assert f"fedstate supernode {' '.join(STATE)} " in command
    assert "identity/node.key" in command
