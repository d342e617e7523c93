"""Every option that cannot be used ends in one sentence, before anything is started."""

import re
from pathlib import Path

import pytest
import typer
from tests.commands import fedstate

from fedstate.cli.executor import executor

ROOT = Path(__file__).parents[3]


def refusal(*options: str) -> str:
    done = fedstate("executor", "--runtime-api-address", "a:1", *options)
    assert done.exit_code == 1
    return done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--root-certificates", "none.crt"), "names none.crt, where there is no file"),
        (("--insecure", "--root-certificates", "x"), "--insecure is given together with"),
        (("--superexec-auth-secret-file", "none"), "none, which cannot be read (No such file"),
        (("--executor", "kubernetes"), "'kubernetes', and this executor starts processes only"),
        (("--preload", "no_such_module"), "'no_such_module', which is not installed here"),
    ],
)
def test_a_mistake_in_one_sentence(options: tuple[str, ...], sentence: str) -> None:
    assert sentence in refusal(*options)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    assert "which is empty" in refusal("--superexec-auth-secret-file", str(tmp_path / "secret"))


def test_an_empty_variable_is_as_an_option_that_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compose sets every variable that the containers know, most of them to nothing."""
    command = typer.main.get_command(_app())
    variables = {p.name: p.envvar for p in command.params if isinstance(p.envvar, str)}
    # Whatever a container passes on has an option.
    compose = (ROOT / "compose" / "hardened.yml").read_text()
    passed = set(re.findall(r"(FEDSTATE_EXECUTOR_\w+): ", compose))
    assert passed <= {*variables.values()}
    assert {f"FEDSTATE_EXECUTOR_{str(name).upper()}" for name in variables} == {
        *variables.values()
    }
    for variable in variables.values():
        monkeypatch.delenv(variable, raising=False)  # the tests themselves set one
    before = command.make_context("executor", ["--runtime-api-address", "a:1"]).params
    for variable in variables.values():
        monkeypatch.setenv(variable, "")
    assert command.make_context("executor", ["--runtime-api-address", "a:1"]).params == before


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(executor)
    return app
