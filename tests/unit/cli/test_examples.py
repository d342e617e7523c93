"""Every command's help has examples, each of which works as it stands, and the docs name it.

What an example finds in its directory is in `tests.operators_directory`. One that serves until it
is stopped, or starts a federation, is in `STARTS`: its options are read, and no more. One that
needs a federation that is up is in `ELSEWHERE`, with the file whose tests run the command there.
"""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
import typer
from flwr.common.constant import NOOP_FLWR_AID
from tests.commands import fedstate
from tests.unit.served import served
from tests.unit.superlink_in_process import SuperLink
from tests.unit.verify.at_superlink import answering, runs_at

from fedstate.certificates.keys import ensure_node_key
from fedstate.cli import app
from fedstate.cli.examples import examples_in
from fedstate.connection import Connection, write_connection
from fedstate.flower.control import control
from fedstate.superlink.options import options_parser as superlink_options_parser
from fedstate.supernode.options import options_parser as supernode_options_parser

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

STARTS = {"demo", "executor", "local up", "superlink", "supernode"}
ELSEWHERE = {
    f"local {name}": "tests/stack/processes/test_local.py"
    for name in ("logs", "restart", "status", "stop")
}
# The group of commands on a SuperLink that is there: the IDs are those that it has given.
AT_A_SUPERLINK = {"enrol", "health", "node list", "node replace-key", "node restore", "verify"}


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


TREE = typer.main.get_command(app)
assert isinstance(TREE, click.Group)
COMMANDS = dict(commands(TREE))
EXAMPLES = [
    (name, example)
    for name, command in COMMANDS.items()
    for example in examples_in(command.epilog)
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_an_example_in_its_help(name: str) -> None:
    command = COMMANDS[name]
    found = examples_in(command.epilog)
    assert found, (
        f"`fedstate {name}` has no example: @app.command(epilog=examples('fedstate {name} ...'))"
    )
    assert all(example.startswith(f"fedstate {name}") for example in found)
    shown = " ".join(fedstate(*name.split(), "--help").stdout.split())
    assert all(example[:40] in shown for example in found)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented(name: str) -> None:
    assert any(f"fedstate {name}" in page.read_text() for page in DOCUMENTS), (
        f"no page of docs/ names `fedstate {name}`"
    )


@pytest.mark.parametrize("name", sorted({*STARTS, *ELSEWHERE, *AT_A_SUPERLINK}))
def test_what_is_not_run_here_is_a_command(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_is_run_elsewhere_is_run_there(name: str) -> None:
    text = (ROOT / ELSEWHERE[name]).read_text()
    assert all(f'"{word}"' in text for word in name.split())


@pytest.fixture
def directory(operators_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the operator's directory, in which the test works."""
    here = shutil.copytree(operators_place, tmp_path / "here")
    monkeypatch.chdir(here)
    monkeypatch.setenv("FLWR_HOME", str(here / "flwr"))
    monkeypatch.setenv("FEDSTATE_RUNS", str(here / "runs"))
    here.joinpath("runs").mkdir()
    write_connection(Connection("here", "127.0.0.1:1", here / "ca.crt"), default=True)
    return here


@pytest.mark.parametrize(
    ("name", "example"),
    [
        pytest.param(name, example, id=example)
        for name, example in EXAMPLES
        if name not in STARTS | AT_A_SUPERLINK | ELSEWHERE.keys()
    ],
)
@pytest.mark.usefixtures("directory")
def test_an_example_works(name: str, example: str) -> None:
    done = fedstate(*shlex.split(example)[1:])
    assert done.exit_code == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "example"),
    [
        pytest.param(name, example, id=example)
        for name, example in EXAMPLES
        if name in STARTS | ELSEWHERE.keys()
    ],
)
def test_the_options_of_an_example_are_read(name: str, example: str) -> None:
    rest = shlex.split(example)[1 + len(name.split()) :]
    parsers = {"superlink": superlink_options_parser, "supernode": supernode_options_parser}
    if name in parsers:
        parsers[name]().parse_args(rest)
        return
    command = COMMANDS[name]
    command.make_context(name, list(rest)).close()


@pytest.fixture(scope="module")
def at_a_superlink(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str, Path, str]]:
    """A SuperLink with a run and nodes that answer; its address, the run, its CA, and a node."""
    place = tmp_path_factory.mktemp("at-a-superlink")
    superlink = SuperLink(place)
    with ExitStack() as stack:
        stack.callback(superlink.close)
        world = runs_at(superlink, 1, 2, 2)
        connection = stack.enter_context(served(superlink, place / "served"))
        stack.enter_context(answering(superlink, world))
        (run,) = world.evidence.runs
        with control(connection) as link:
            link.register(ensure_node_key(place / "away"))
            (node_id,) = [node.node_id for node in link.nodes() if not node.online]
        superlink.state.delete_node(NOOP_FLWR_AID, node_id)
        yield connection.address, str(run.run_id), connection.root_certificates, str(node_id)


@pytest.mark.parametrize(
    ("name", "example"),
    [
        pytest.param(name, example, id=example)
        for name, example in EXAMPLES
        if name in AT_A_SUPERLINK
    ],
)
def test_an_example_works_at_a_superlink(
    name: str, example: str, directory: Path, at_a_superlink: tuple[str, str, Path, str]
) -> None:
    address, run_id, authority, node_id = at_a_superlink
    shutil.copy(authority, directory / "ca.crt")
    write_connection(Connection("here", address, authority), default=True)
    if name == "node replace-key":
        assert fedstate("node", "restore", node_id).exit_code == 0
    here = {
        "4711": run_id,
        "8123": node_id,
        "127.0.0.1:8000": address,
    }
    state_alone = "--state" in example
    arguments = [
        word if state_alone else here.get(word, word) for word in shlex.split(example)[1:]
    ]
    done = fedstate(*arguments)
    # Without keys `verify --state` does not know who has signed.
    allowed = (0, 2) if state_alone else (0,)
    assert done.exit_code in allowed, done.stdout + done.stderr
