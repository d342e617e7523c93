"""Programs that are forks of a process that has imported them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.errors import FederationError
from fedstate.failpoints import VARIABLE
from fedstate.local.execute import Started, execute
from fedstate.local.launcher import Launcher, _preload_of
from fedstate.local.process import free_port
from tests.waiting import wait_until

FEDSTATE = str(Path(sys.executable).parent / "fedstate")
# It asks, again and again, a server that is not there.
WAITING = [
    *(FEDSTATE, "executor", "--preload", "none", "--insecure"),
    *("--runtime-api-address", f"127.0.0.1:{free_port()}"),
]


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def waiting(launcher: Launcher, tmp_path: Path) -> Iterator[Started]:
    program = launcher(WAITING, {**os.environ, "FLWR_HOME": str(tmp_path)}, tmp_path / "log")
    try:
        wait_until(lambda: "cannot be asked" in (tmp_path / "log").read_text())
        yield program
    finally:
        program.kill()
        program.wait(10)


def fork_server_of(program: Started) -> int:
    fields = Path(f"/proc/{program.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1])


def test_a_program_has_a_session_a_name_and_files_of_its_own(
    waiting: Started, tmp_path: Path
) -> None:
    process = Path(f"/proc/{waiting.pid}")
    assert os.getsid(waiting.pid) == waiting.pid
    assert (process / "comm").read_text() == "executor\n"
    assert (process / "fd" / "0").readlink() == Path(os.devnull)
    assert (process / "fd" / "2").readlink() == tmp_path / "log"
    assert waiting.poll() is None


def test_a_program_that_is_asked_to_end_does(waiting: Started, tmp_path: Path) -> None:
    waiting.terminate()
    assert waiting.wait(30) == 0
    assert "The executor stops." in (tmp_path / "log").read_text()


def test_how_a_killed_program_ended_is_known(waiting: Started) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.1)
    waiting.kill()
    assert waiting.wait(30) == -signal.SIGKILL
    assert waiting.poll() == waiting.returncode == -signal.SIGKILL


def test_a_mistake_ends_it_as_it_ends_a_program_that_is_executed(
    launcher: Launcher, tmp_path: Path
) -> None:
    command = [*WAITING, "--root-certificates", "none"]
    ends = []
    for name, start in (("forked", launcher), ("executed", execute)):
        program = start(command, dict(os.environ), tmp_path / name)
        ends.append((program.wait(60), (tmp_path / name).read_text()))
    assert ends[0] == ends[1]
    assert ends[0][0] == 1
    assert "--insecure is given together" in ends[0][1]


@pytest.mark.allowed_errors("no-such-point")
def test_a_program_gets_its_own_environment_only(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, VARIABLE: "no-such-point=kill"}
    program = launcher(WAITING, environment, tmp_path / "log")
    assert program.wait(30) == 1
    assert "has the item 'no-such-point=kill'" in (tmp_path / "log").read_text()
    monkeypatch.setenv(VARIABLE, "also-not=kill")
    program = launcher(WAITING, dict(os.environ) | {VARIABLE: ""}, tmp_path / "other")
    wait_until(lambda: "cannot be asked" in (tmp_path / "other").read_text())
    program.kill()
    assert program.wait(30) == -signal.SIGKILL


def test_programs_outlive_their_fork_server_and_another_takes_its_place(
    waiting: Started, launcher: Launcher, tmp_path: Path
) -> None:
    before = fork_server_of(waiting)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{before}").exists() or fork_server_of(waiting) != before)
    assert waiting.poll() is None
    another = launcher(WAITING, dict(os.environ), tmp_path / "another")
    assert fork_server_of(another) != before
    waiting.kill()
    assert waiting.wait(30) == -1, "nobody saw how it ended"
    another.kill()
    assert another.wait(30) == -signal.SIGKILL


def test_programs_outlive_their_launcher(tmp_path: Path) -> None:
    launcher = Launcher()
    program = launcher(WAITING, dict(os.environ), tmp_path / "log")
    launcher.close()
    wait_until(lambda: "cannot be asked" in (tmp_path / "log").read_text())
    assert program.poll() is None
    program.terminate()
    program.wait(30)


def test_what_cannot_be_preloaded_is_named(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_on_import.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    command = [each if each != "none" else "broken_on_import" for each in WAITING]
    with pytest.raises(FederationError, match=r"executor needs does not load: .*'broken_on_imp"):
        launcher(command, dict(os.environ), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_what_a_module_says_when_it_is_imported_is_shown_if_that_fails(
    launcher: Launcher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """TensorFlow greets on the terminal of whoever imports it."""
    (tmp_path / "greets.py").write_text("import os; os.write(2, b'hello\\n')\n")
    (tmp_path / "dies.py").write_text("import os; os.write(2, b'no room\\n'); os.abort()\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(str(tmp_path))
    greeting, dying = (
        [each if each != "none" else name for each in WAITING] for name in ("greets", "dies")
    )
    launcher.wait_until_warm(greeting)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(FederationError, match=r"(?s)was ended by SIGABRT.*It said:.*no room"):
        launcher.wait_until_warm(dying)


def test_a_program_of_somebody_else_is_executed(launcher: Launcher, tmp_path: Path) -> None:
    program = launcher(["sh", "-c", "echo done; exit 3"], dict(os.environ), tmp_path / "log")
    assert program.wait(30) == 3
    assert (tmp_path / "log").read_text() == "done\n"


@pytest.mark.parametrize(
    ("variable", "options", "setting"),
    [
        (None, (), "auto"),
        ("", (), "auto"),
        ("none", (), "none"),
        ("none", ("--preload", "numpy"), "numpy"),
        (None, ("--preload", "numpy", "--preload=none"), "none"),
    ],
)
def test_what_an_executor_preloads_is_found_out(
    variable: str | None, options: tuple[str, ...], setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDSTATE_EXECUTOR_PRELOAD", raising=False)
    if variable is not None:
        monkeypatch.setenv("FEDSTATE_EXECUTOR_PRELOAD", variable)
    assert _preload_of(["fedstate", "executor", *options, "--insecure"]) == setting
