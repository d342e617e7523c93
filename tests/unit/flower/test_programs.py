"""Addresses, commands and command lines as flwr's programs have them."""

import os
import sys
from pathlib import Path

import click
import pytest
import typer

from fedstate.cli import app
from fedstate.flower.programs import command_line, executor_command, normal_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9092", "127.0.0.1:9092"),
        ("superlink.example:1", "superlink.example:1"),
        ("[::1]:9092", "[::1]:9092"),
        ("http://superlink:9092", None),
        ("superlink", None),
        ("superlink:port", None),
        ("superlink:65536", None),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: str | None) -> None:
    assert normal_address(text) == address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "127.0.0.1:9094"),  # noqa: S104
        ("::", "[::1]:9094"),
        ("10.0.0.1", "10.0.0.1:9094"),
        ("fd00::1", "[fd00::1]:9094"),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("installs", [False, True])
def test_our_executor_takes_the_command(
    host: str, address: str, tls: bool, installs: bool
) -> None:
    given = executor_command(
        host,
        9094,
        tls=tls,
        authority_file="ca.pem" if tls else None,
        installs_dependencies=installs,
    )
    assert "--runtime-socket" not in given
    program, options = given[:5], given[5:]
    assert program == [sys.executable, "-P", "-m", "fedstate", "executor"]
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    read = command.commands["executor"].make_context("executor", options).params
    assert read["runtime_api_address"] == address
    assert read["insecure"] != tls
    assert read["root_certificates"] == ("ca.pem" if tls else None)
    assert read["allow_runtime_dependency_installation"] == installs
    assert read["parent_pid"] == os.getpid()


def test_our_executor_is_told_of_the_socket(tmp_path: Path) -> None:
    given = executor_command(
        *("127.0.0.1", 9094),
        tls=False,
        authority_file=None,
        installs_dependencies=False,
        socket=tmp_path / "api.sock",
    )
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    read = command.commands["executor"].make_context("executor", given[5:]).params
    assert read["runtime_socket"] == str(tmp_path / "api.sock")


def test_a_command_line_is_the_processs_while_it_is_read() -> None:
    before = sys.argv
    with command_line("program", ["--option"]):
        assert sys.argv == ["program", "--option"]
    assert sys.argv is before
