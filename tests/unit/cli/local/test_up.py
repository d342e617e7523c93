"""What cannot be started ends in one sentence, before anything is started."""

import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from tests.commands import fedstate

from fedstate.cli import executor
from fedstate.cli.local import up
from fedstate.errors import FederationError
from fedstate.local.federation import Federation
from fedstate.supernode.options import options_parser


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--nodes", "0"), "A federation of 0 nodes cannot be; ask for 1 or more."),
        (("--port", "70000"), "Port 70000 cannot be; choose one from 1 to 65535 with --port."),
        (("--directory", "file"), "/file is not a directory: name another with --directory."),
        (("--preload", "no_such"), "not installed here: install it, or leave it out."),
        (("--walls", "high"), "'require' (all of it, or an error) or 'none'."),
        (("--from-run", "mine"), "--from-run is 'mine': give one of never, same-app, any."),
        (("--retain", "long"), "'long' is not a time such as 90s, 12h or 30d."),
        (("--max-memory", "much"), "with k, m, g or t, such as 500m or 2g."),
        (("--max-files", "0"), "with k, m, g or t, such as 500m or 2g."),
        (("--readable", "nowhere"), "nowhere, which does not exist: make it, or leave it out."),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = fedstate("local", "up", *options)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(sentence)
    assert not list(tmp_path.rglob("log"))


def test_a_port_that_is_taken_is_said_with_its_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = fedstate("local", "up", "--port", str(port), "--directory", tmp_path)
    assert done.exit_code == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.stderr


SIZES = ("--max-concurrent-tasks", "2", "--task-time-limit", "60.0", "--max-processes", "500")


def test_every_option_of_executors_reaches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        *("--preload", "none", *SIZES, "--walls", "auto", "--max-open-files", "1000"),
        *("--max-memory", "2g", "--max-files", "1g"),
        *("--readable", str(tmp_path), "--writable", str(tmp_path)),
    ]
    commands: list[list[str]] = []

    def start(federation: Federation) -> None:
        commands.extend(executor.command for executor in federation.executors)
        raise FederationError("This test starts nothing.")

    monkeypatch.setattr(Federation, "_start", start)
    done = fedstate("local", "up", "--nodes", "2", "--directory", tmp_path / "new", *given)
    assert done.stderr.strip() == "fedstate: This test starts nothing."
    assert len(commands) == 3
    pairs = {*zip(given[::2], given[1::2], strict=True)}
    for command in commands:
        assert pairs <= {*pairwise(command)}
    offered = fedstate("local", "up", "--help").stdout
    assert all(name in offered for name in given[::2])


def test_every_option_of_supernodes_reaches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def start(federation: Federation) -> None:
        commands.extend(node.supernode.command for node in federation.nodes)
        raise FederationError("This test starts nothing.")

    monkeypatch.setattr(Federation, "_start", start)
    given = ["--keep", "10", "--from-run", "same-app", "--retain", "30d"]
    for options in (given, []):
        fedstate("local", "up", "--nodes", "2", "--directory", tmp_path / "new", *options)
    assert [command[-6:] == given for command in commands] == [True, True, False, False]
    for command in commands:
        assert ("--keep" in command) == (command[-6:] == given)
        options_parser().parse_args(command[2:])
    offered = fedstate("local", "up", "--help").stdout
    assert all(name in offered for name in OF_SUPERNODES)


OF_SUPERNODES = {"--keep", "--from-run", "--retain"}


def test_each_of_them_is_an_option_of_the_executor() -> None:
    mine, theirs = (
        {option for parameter in typer.main.get_command(app_).params for option in parameter.opts}
        for app_ in (_single(up.up), _single(executor.executor))
    )
    assert mine - theirs == {"--nodes", "--port", "--directory", *OF_SUPERNODES}


def _single(command: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app
